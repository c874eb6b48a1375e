// Sums of the rows of x.
func.func @row_sums(%x: tensor<24x200xf32>) -> tensor<24xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<24xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<24xf32>) -> tensor<24xf32>
  %y = linalg.generic {
      indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m)>],
      iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<24x200xf32>) outs(%init : tensor<24xf32>) {
  ^bb0(%value: f32, %sum: f32):
    %next = arith.addf %sum, %value : f32
    linalg.yield %next : f32
  } -> tensor<24xf32>
  return %y : tensor<24xf32>
}
