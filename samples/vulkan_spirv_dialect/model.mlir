// y = 3·a + b
func.func @scaled_add(%a: tensor<40x48xf32>, %b: tensor<40x48xf32>) -> tensor<40x48xf32> {
  %three = arith.constant 3.0 : f32
  %empty = tensor.empty() : tensor<40x48xf32>
  %y = linalg.generic {
      indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m, n)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%a, %b : tensor<40x48xf32>, tensor<40x48xf32>) outs(%empty : tensor<40x48xf32>) {
  ^bb0(%l: f32, %r: f32, %out: f32):
    %scaled = arith.mulf %l, %three : f32
    %sum = arith.addf %scaled, %r : f32
    linalg.yield %sum : f32
  } -> tensor<40x48xf32>
  return %y : tensor<40x48xf32>
}
