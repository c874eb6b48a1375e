// What IREE compiles instead: a body that calls a function of the linked object for each element.
func.func private @hard_swish_f32(%x: f32) -> f32 attributes {hal.import.static, llvm.bareptr = true}

func.func @body(%x: tensor<?xf32>) -> tensor<?xf32> {
  %c0 = arith.constant 0 : index
  %count = tensor.dim %x, %c0 : tensor<?xf32>
  %empty = tensor.empty(%count) : tensor<?xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%x : tensor<?xf32>) outs(%empty : tensor<?xf32>) {
  ^bb0(%value: f32, %out: f32):
    %result = func.call @hard_swish_f32(%value) : (f32) -> f32
    linalg.yield %result : f32
  } -> tensor<?xf32>
  return %y : tensor<?xf32>
}
