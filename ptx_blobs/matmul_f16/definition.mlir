// c[b, m, n] = Σk a[b, m, k] · b[b, k, n], f16 with sums in f32, rounded to f16 at the end
func.func @matmul(%a: tensor<?x?x?xf16>, %b: tensor<?x?x?xf16>) -> tensor<?x?x?xf16> {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %B = tensor.dim %a, %c0 : tensor<?x?x?xf16>
  %M = tensor.dim %a, %c1 : tensor<?x?x?xf16>
  %N = tensor.dim %b, %c2 : tensor<?x?x?xf16>
  %empty = tensor.empty(%B, %M, %N) : tensor<?x?x?xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x?x?xf32>) -> tensor<?x?x?xf32>
  %c = linalg.batch_matmul ins(%a, %b : tensor<?x?x?xf16>, tensor<?x?x?xf16>)
                           outs(%init : tensor<?x?x?xf32>) -> tensor<?x?x?xf32>
  %narrow = tensor.empty(%B, %M, %N) : tensor<?x?x?xf16>
  %rounded = linalg.generic {
      indexing_maps = [affine_map<(b, m, n) -> (b, m, n)>, affine_map<(b, m, n) -> (b, m, n)>],
      iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%c : tensor<?x?x?xf32>) outs(%narrow : tensor<?x?x?xf16>) {
  ^bb0(%in: f32, %out: f16):
    %value = arith.truncf %in : f32 to f16
    linalg.yield %value : f16
  } -> tensor<?x?x?xf16>
  return %rounded : tensor<?x?x?xf16>
}
