// Three matrix multiplies over a batch whose size is known at launch only, then a scale for each row. What lies between
// them shares one buffer: IREE passes where each begins as push constants.
func.func @layers(%x: tensor<?x24xf32>, %w1: tensor<24x40xf32>, %w2: tensor<40x24xf32>, %s: tensor<?xf32>)
    -> (tensor<?x40xf32>, tensor<?x24xf32>) {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %m = tensor.dim %x, %c0 : tensor<?x24xf32>
  %wide = tensor.empty(%m) : tensor<?x40xf32>
  %narrow = tensor.empty(%m) : tensor<?x24xf32>
  %wide_zero = linalg.fill ins(%zero : f32) outs(%wide : tensor<?x40xf32>) -> tensor<?x40xf32>
  %narrow_zero = linalg.fill ins(%zero : f32) outs(%narrow : tensor<?x24xf32>) -> tensor<?x24xf32>
  %y = linalg.matmul ins(%x, %w1 : tensor<?x24xf32>, tensor<24x40xf32>)
      outs(%wide_zero : tensor<?x40xf32>) -> tensor<?x40xf32>
  %u = linalg.matmul ins(%y, %w2 : tensor<?x40xf32>, tensor<40x24xf32>)
      outs(%narrow_zero : tensor<?x24xf32>) -> tensor<?x24xf32>
  %v = linalg.matmul ins(%u, %w1 : tensor<?x24xf32>, tensor<24x40xf32>)
      outs(%wide_zero : tensor<?x40xf32>) -> tensor<?x40xf32>
  %scaled = linalg.generic {
      indexing_maps = [affine_map<(i, j) -> (i, j)>, affine_map<(i, j) -> (i)>, affine_map<(i, j) -> (i, j)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%x, %s : tensor<?x24xf32>, tensor<?xf32>) outs(%narrow : tensor<?x24xf32>) {
  ^bb0(%a: f32, %scale: f32, %out: f32):
    %product = arith.mulf %a, %scale : f32
    linalg.yield %product : f32
  } -> tensor<?x24xf32>
  return %v, %scaled : tensor<?x40xf32>, tensor<?x24xf32>
}
