// c[b, m, n] = Σk a[b, m, k] · b[b, k, n], f16 with sums in f32
func.func @matmul(%a: tensor<?x?x?xf16>, %b: tensor<?x?x?xf16>) -> tensor<?x?x?xf32> {
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
  return %c : tensor<?x?x?xf32>
}
