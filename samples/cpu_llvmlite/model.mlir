// The gate of a SwiGLU block: gate · sigmoid(gate) · up.
func.func @gate(%gate: tensor<64x688xf32>, %up: tensor<64x688xf32>) -> tensor<64x688xf32> {
  %one = arith.constant 1.0 : f32
  %empty = tensor.empty() : tensor<64x688xf32>
  %result = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%gate, %up : tensor<64x688xf32>, tensor<64x688xf32>) outs(%empty : tensor<64x688xf32>) {
  ^bb0(%g: f32, %u: f32, %out: f32):
    %minus = arith.negf %g : f32
    %exp = math.exp %minus : f32
    %below = arith.addf %exp, %one : f32
    %silu = arith.divf %g, %below : f32
    %gated = arith.mulf %silu, %u : f32
    linalg.yield %gated : f32
  } -> tensor<64x688xf32>
  return %result : tensor<64x688xf32>
}
