// Hard swish: x · min(max(x + 3, 0), 6) / 6
func.func @hard_swish(%x: tensor<8x100xf32>) -> tensor<8x100xf32> {
  %zero = arith.constant 0.0 : f32
  %three = arith.constant 3.0 : f32
  %six = arith.constant 6.0 : f32
  %empty = tensor.empty() : tensor<8x100xf32>
  %y = linalg.generic {
      indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%x : tensor<8x100xf32>) outs(%empty : tensor<8x100xf32>) {
  ^bb0(%value: f32, %out: f32):
    %moved = arith.addf %value, %three : f32
    %positive = arith.maximumf %moved, %zero : f32
    %bounded = arith.minimumf %positive, %six : f32
    %scaled = arith.divf %bounded, %six : f32
    %result = arith.mulf %value, %scaled : f32
    linalg.yield %result : f32
  } -> tensor<8x100xf32>
  return %y : tensor<8x100xf32>
}
