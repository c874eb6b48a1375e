// x · yᵀ and x · zᵀ for three vectors: two dispatches, whose results lie in one buffer at different offsets.
func.func @outer(%x: tensor<40xf32>, %y: tensor<72xf32>, %z: tensor<56xf32>)
    -> (tensor<40x72xf32>, tensor<40x56xf32>) {
  %empty_xy = tensor.empty() : tensor<40x72xf32>
  %xy = linalg.generic {
      indexing_maps = [affine_map<(m, n) -> (m)>, affine_map<(m, n) -> (n)>, affine_map<(m, n) -> (m, n)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%x, %y : tensor<40xf32>, tensor<72xf32>) outs(%empty_xy : tensor<40x72xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %product = arith.mulf %a, %b : f32
    linalg.yield %product : f32
  } -> tensor<40x72xf32>
  %empty_xz = tensor.empty() : tensor<40x56xf32>
  %xz = linalg.generic {
      indexing_maps = [affine_map<(m, n) -> (m)>, affine_map<(m, n) -> (n)>, affine_map<(m, n) -> (m, n)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%x, %z : tensor<40xf32>, tensor<56xf32>) outs(%empty_xz : tensor<40x56xf32>) {
  ^bb0(%a: f32, %b: f32, %out: f32):
    %product = arith.mulf %a, %b : f32
    linalg.yield %product : f32
  } -> tensor<40x56xf32>
  return %xy, %xz : tensor<40x72xf32>, tensor<40x56xf32>
}
