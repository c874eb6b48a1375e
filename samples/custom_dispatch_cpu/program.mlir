// The same, declared by the program: an executable of its own with two exports that call the object's functions, and a
// dispatch of each with IREE's own code between them. out = (a·b + b) · (a·b), for vectors of any length.
#cpu = #hal.executable.target<"llvm-cpu", "embedded-elf-x86_64", {
  cpu = "generic",
  cpu_features = "",
  data_layout = "e-m:e-p270:32:32-p271:32:32-p272:64:64-i64:64-i128:128-f80:128-n8:16:32:64-S128",
  native_vector_size = 16 : i64,
  target_triple = "x86_64-unknown-unknown-eabi-elf"
}>
#device = #hal.device.target<"local", [#cpu]> : !hal.device
#three = #hal.pipeline.layout<constants = 1, bindings = [
  #hal.pipeline.binding<storage_buffer, ReadOnly>,
  #hal.pipeline.binding<storage_buffer, ReadOnly>,
  #hal.pipeline.binding<storage_buffer>
]>
#two = #hal.pipeline.layout<constants = 1, bindings = [
  #hal.pipeline.binding<storage_buffer, ReadOnly>,
  #hal.pipeline.binding<storage_buffer>
]>

module @custom attributes {hal.device.targets = [#device]} {
  hal.executable private @functions {
    // the path is looked for below --iree-hal-executable-object-search-path
    hal.executable.variant public @x86_64 target(#cpu) objects([#hal.executable.object<{path = "functions.o"}>]) {
      hal.executable.export public @product ordinal(0) layout(#three)
          count(%device: !hal.device, %size: index) -> (index, index, index) {
        %blocks = affine.apply affine_map<()[s0] -> (s0 ceildiv 64)>()[%size]
        %one = arith.constant 1 : index
        hal.return %blocks, %one, %one : index, index, index
      }
      hal.executable.export public @product_inplace ordinal(1) layout(#two)
          count(%device: !hal.device, %size: index) -> (index, index, index) {
        %blocks = affine.apply affine_map<()[s0] -> (s0 ceildiv 64)>()[%size]
        %one = arith.constant 1 : index
        hal.return %blocks, %one, %one : index, index, index
      }
      builtin.module {
        // a memref without dimensions arrives as a bare pointer
        func.func private @mul(memref<f32>, memref<f32>, memref<f32>, index, index, index, index)
            attributes {hal.import.static, llvm.bareptr = true}
        func.func private @mul_inplace(memref<f32>, memref<f32>, memref<f32>, index, index, index, index)
            attributes {hal.import.static, llvm.bareptr = true}

        func.func @product() {
          %zero = arith.constant 0 : index
          %word = hal.interface.constant.load layout(#three) ordinal(0) : i32
          %size = arith.index_castui %word : i32 to index
          %x = hal.interface.workgroup.id[0] : index
          %a = hal.interface.binding.subspan layout(#three) binding(0) alignment(64) offset(%zero) : memref<f32>
          %b = hal.interface.binding.subspan layout(#three) binding(1) alignment(64) offset(%zero) : memref<f32>
          %c = hal.interface.binding.subspan layout(#three) binding(2) alignment(64) offset(%zero) : memref<f32>
          func.call @mul(%a, %b, %c, %size, %x, %zero, %zero)
              : (memref<f32>, memref<f32>, memref<f32>, index, index, index, index) -> ()
          return
        }
        func.func @product_inplace() {
          %zero = arith.constant 0 : index
          %word = hal.interface.constant.load layout(#two) ordinal(0) : i32
          %size = arith.index_castui %word : i32 to index
          %x = hal.interface.workgroup.id[0] : index
          %a = hal.interface.binding.subspan layout(#two) binding(0) alignment(64) offset(%zero) : memref<f32>
          %b = hal.interface.binding.subspan layout(#two) binding(1) alignment(64) offset(%zero) : memref<f32>
          func.call @mul_inplace(%a, %b, %b, %size, %x, %zero, %zero)
              : (memref<f32>, memref<f32>, memref<f32>, index, index, index, index) -> ()
          return
        }
      }
    }
  }

  func.func @mixed_invocation(%a: tensor<?xf32>, %b: tensor<?xf32>) -> tensor<?xf32> {
    %c0 = arith.constant 0 : index
    %size = tensor.dim %a, %c0 : tensor<?xf32>
    %word = arith.index_cast %size : index to i32
    %product = flow.dispatch @functions::@x86_64::@product[%size](%word, %a, %b)
        : (i32, tensor<?xf32>{%size}, tensor<?xf32>{%size}) -> tensor<?xf32>{%size}
    %sum = arith.addf %product, %b : tensor<?xf32>
    // `-> %sum`: the result is written over this operand
    %result = flow.dispatch @functions::@x86_64::@product_inplace[%size](%word, %product, %sum)
        : (i32, tensor<?xf32>{%size}, tensor<?xf32>{%size}) -> %sum{%size}
    return %result : tensor<?xf32>
  }
}
