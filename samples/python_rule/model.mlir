// Rows divided by 3 and by a number that is given.
func.func @scale(%x: tensor<16x64xf32>, %by: tensor<16xf32>) -> tensor<16x64xf32> {
  %three = arith.constant 3.0 : f32
  %empty = tensor.empty() : tensor<16x64xf32>
  %y = linalg.generic {
      indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m)>, affine_map<(m, n) -> (m, n)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%x, %by : tensor<16x64xf32>, tensor<16xf32>) outs(%empty : tensor<16x64xf32>) {
  ^bb0(%value: f32, %divisor: f32, %out: f32):
    %third = arith.divf %value, %three : f32
    %result = arith.divf %third, %divisor : f32
    linalg.yield %result : f32
  } -> tensor<16x64xf32>
  return %y : tensor<16x64xf32>
}
