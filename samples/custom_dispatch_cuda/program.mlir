// The same, declared by the program: an executable without a body, whose exports are entries of a PTX text, and a dispatch
// of each with IREE's own code between them. out = (a·b + b) · (a·b), for vectors of any length.
#sm_80 = #hal.executable.target<"cuda", "cuda-nvptx-fb", {
  iree_codegen.target_info = #iree_gpu.target<arch = "sm_80", features = "+ptx76", wgp = <
    compute = fp64|fp32|fp16|int64|int32|int16|int8, storage = b64|b32|b16|b8, subgroup = shuffle|arithmetic,
    subgroup_size_choices = [32], max_workgroup_sizes = [1024, 1024, 1024], max_thread_count_per_workgroup = 1024,
    max_workgroup_memory_bytes = 166912, max_workgroup_counts = [2147483647, 65535, 65535]>>
}>
#device = #hal.device.target<"cuda", [#sm_80]> : !hal.device
// where the path is looked for: --iree-hal-executable-object-search-path
#objects = #hal.executable.objects<{#sm_80 = [#hal.executable.object<{path = "kernels.ptx"}>]}>

module @custom attributes {hal.device.targets = [#device]} {
  // IREE before 3.13: `@functions attributes {objects = #objects} {`, and below `} attributes {workgroup_size = …}`
  hal.executable.source private @functions <objects = #objects> {
    hal.executable.export public @mul ordinal(0)
        layout(#hal.pipeline.layout<constants = 1, bindings = [
          #hal.pipeline.binding<storage_buffer, ReadOnly>,
          #hal.pipeline.binding<storage_buffer, ReadOnly>,
          #hal.pipeline.binding<storage_buffer>
        ]>) count(%device: !hal.device, %size: index) -> (index, index, index) {
      %blocks = affine.apply affine_map<()[s0] -> (s0 ceildiv 64)>()[%size]
      %one = arith.constant 1 : index
      hal.return %blocks, %one, %one : index, index, index
    } <workgroup_size = [64 : index, 1 : index, 1 : index]>
    hal.executable.export public @mul_inplace ordinal(1)
        layout(#hal.pipeline.layout<constants = 1, bindings = [
          #hal.pipeline.binding<storage_buffer, ReadOnly>,
          #hal.pipeline.binding<storage_buffer>
        ]>) count(%device: !hal.device, %size: index) -> (index, index, index) {
      %blocks = affine.apply affine_map<()[s0] -> (s0 ceildiv 64)>()[%size]
      %one = arith.constant 1 : index
      hal.return %blocks, %one, %one : index, index, index
    } <workgroup_size = [64 : index, 1 : index, 1 : index]>
  }

  func.func @mixed_invocation(%a: tensor<?xf32>, %b: tensor<?xf32>) -> tensor<?xf32> {
    %c0 = arith.constant 0 : index
    %size = tensor.dim %a, %c0 : tensor<?xf32>
    %word = arith.index_cast %size : index to i32
    %product = flow.dispatch @functions::@mul[%size](%word, %a, %b)
        : (i32, tensor<?xf32>{%size}, tensor<?xf32>{%size}) -> tensor<?xf32>{%size}
    %sum = arith.addf %product, %b : tensor<?xf32>
    // `-> %sum`: the result is written over this operand
    %result = flow.dispatch @functions::@mul_inplace[%size](%word, %product, %sum)
        : (i32, tensor<?xf32>{%size}, tensor<?xf32>{%size}) -> %sum{%size}
    return %result : tensor<?xf32>
  }
}
