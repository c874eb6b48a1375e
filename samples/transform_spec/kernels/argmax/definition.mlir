// Where the largest number of each row stands.
func.func @argmax(%x: tensor<?x?xf32>) -> tensor<?xi64> {
  %zero = arith.constant 0 : i64
  %lowest = arith.constant 0xFF800000 : f32
  %c0 = arith.constant 0 : index
  %rows = tensor.dim %x, %c0 : tensor<?x?xf32>
  %e1 = tensor.empty(%rows) : tensor<?xi64>
  %e2 = tensor.empty(%rows) : tensor<?xf32>
  %i1 = linalg.fill ins(%zero : i64) outs(%e1 : tensor<?xi64>) -> tensor<?xi64>
  %i2 = linalg.fill ins(%lowest : f32) outs(%e2 : tensor<?xf32>) -> tensor<?xf32>
  %m:2 = linalg.generic {
      indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m)>, affine_map<(m, n) -> (m)>],
      iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<?x?xf32>) outs(%i2, %i1 : tensor<?xf32>, tensor<?xi64>) {
  ^bb0(%value: f32, %best: f32, %at: i64):
    %n = linalg.index 1 : index
    %n64 = arith.index_cast %n : index to i64
    %larger = arith.maximumf %value, %best : f32
    %is = arith.cmpf ogt, %value, %best : f32
    %where = arith.select %is, %n64, %at : i64
    linalg.yield %larger, %where : f32, i64
  } -> (tensor<?xf32>, tensor<?xi64>)
  return %m#1 : tensor<?xi64>
}
