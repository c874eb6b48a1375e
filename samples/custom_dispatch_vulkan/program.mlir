// The same, declared by the program, in the two ways that there are: a dispatch that brings its object with it, and an
// executable without a body. IREE's own code stands between them. out = (a·b + b) · (a·b), for vectors of any length.
#vulkan = #hal.executable.target<"vulkan-spirv", "vulkan-spirv-fb", {
  iree_codegen.target_info = #iree_gpu.target<arch = "vp_android_baseline_2022", features = "spirv:v1.3,cap:Shader",
    wgp = <compute = fp32|int32, storage = b32, subgroup = none, subgroup_size_choices = [32, 64],
      max_workgroup_sizes = [128, 128, 64], max_thread_count_per_workgroup = 128, max_workgroup_memory_bytes = 16384,
      max_workgroup_counts = [65535, 65535, 65535]>>
}>
#device = #hal.device.target<"vulkan", [#vulkan]> : !hal.device
// where the paths are looked for: --iree-hal-executable-object-search-path
#objects = #hal.executable.objects<{#vulkan = [#hal.executable.object<{path = "mul_inplace.spv"}>]}>

module @custom attributes {hal.device.targets = [#device]} {
  // IREE before 3.13: `@functions attributes {objects = #objects} {`
  hal.executable.source private @functions <objects = #objects> {
    hal.executable.export public @main ordinal(0)
        layout(#hal.pipeline.layout<constants = 1, bindings = [
          #hal.pipeline.binding<storage_buffer, ReadOnly>,
          #hal.pipeline.binding<storage_buffer>
        ]>) count(%device: !hal.device, %size: index) -> (index, index, index) {
      %blocks = affine.apply affine_map<()[s0] -> (s0 ceildiv 64)>()[%size]
      %one = arith.constant 1 : index
      hal.return %blocks, %one, %one : index, index, index
    }
  }

  func.func @mixed_invocation(%a: tensor<?xf32>, %b: tensor<?xf32>) -> tensor<?xf32> {
    %c0 = arith.constant 0 : index
    %size = tensor.dim %a, %c0 : tensor<?xf32>
    %word = arith.index_cast %size : index to i32
    %product = hal.dispatch.extern "main"[%size](%word, %a, %b)
        : (i32, tensor<?xf32>{%size}, tensor<?xf32>{%size}) -> tensor<?xf32>{%size}
      count(%device: !hal.device, %n: index) -> (index, index, index) {
        %blocks = affine.apply affine_map<()[s0] -> (s0 ceildiv 64)>()[%n]
        %one = arith.constant 1 : index
        hal.return %blocks, %one, %one : index, index, index
      }
      layout(#hal.pipeline.layout<constants = 1, bindings = [
        #hal.pipeline.binding<storage_buffer, ReadOnly>,
        #hal.pipeline.binding<storage_buffer, ReadOnly>,
        #hal.pipeline.binding<storage_buffer>
      ]>)
      objects({#vulkan ordinal(0) = [#hal.executable.object<{path = "mul.spv"}>]})
    %sum = arith.addf %product, %b : tensor<?xf32>
    // `-> %sum`: the result is written over this operand
    %result = flow.dispatch @functions::@main[%size](%word, %product, %sum)
        : (i32, tensor<?xf32>{%size}, tensor<?xf32>{%size}) -> %sum{%size}
    return %result : tensor<?xf32>
  }
}
