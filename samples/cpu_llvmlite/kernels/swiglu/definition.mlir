// y[n] = gate[n] / (1 + exp(-gate[n])) · up[n]. IREE makes one loop of element-wise work on whole tensors, so one axis does.
func.func @swiglu(%gate: tensor<?xf32>, %up: tensor<?xf32>) -> tensor<?xf32> {
  %one = arith.constant 1.0 : f32
  %c0 = arith.constant 0 : index
  %N = tensor.dim %gate, %c0 : tensor<?xf32>
  %empty = tensor.empty(%N) : tensor<?xf32>
  %y = linalg.generic {
      indexing_maps = [affine_map<(n) -> (n)>, affine_map<(n) -> (n)>, affine_map<(n) -> (n)>],
      iterator_types = ["parallel"]}
      ins(%gate, %up : tensor<?xf32>, tensor<?xf32>) outs(%empty : tensor<?xf32>) {
  ^bb0(%g: f32, %u: f32, %out: f32):
    %minus = arith.negf %g : f32
    %exp = math.exp %minus : f32
    %below = arith.addf %one, %exp : f32
    %silu = arith.divf %g, %below : f32
    %gated = arith.mulf %u, %silu : f32
    linalg.yield %gated : f32
  } -> tensor<?xf32>
  return %y : tensor<?xf32>
}
