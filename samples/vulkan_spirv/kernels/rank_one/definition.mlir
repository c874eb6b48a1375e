// c[m, n] = a[m] · b[n]
func.func @rank_one(%a: tensor<?xf32>, %b: tensor<?xf32>) -> tensor<?x?xf32> {
  %c0 = arith.constant 0 : index
  %M = tensor.dim %a, %c0 : tensor<?xf32>
  %N = tensor.dim %b, %c0 : tensor<?xf32>
  %empty = tensor.empty(%M, %N) : tensor<?x?xf32>
  %c = linalg.generic {
      indexing_maps = [affine_map<(m, n) -> (m)>, affine_map<(m, n) -> (n)>, affine_map<(m, n) -> (m, n)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%a, %b : tensor<?xf32>, tensor<?xf32>) outs(%empty : tensor<?x?xf32>) {
  ^bb0(%x: f32, %y: f32, %out: f32):
    %product = arith.mulf %x, %y : f32
    linalg.yield %product : f32
  } -> tensor<?x?xf32>
  return %c : tensor<?x?xf32>
}
