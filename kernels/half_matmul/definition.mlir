// c[b, m, n] = Σk a[b, m, k] · b[b, k, n], in T from beginning to end: the sum too
!T = f16
func.func @half_matmul(%a: tensor<?x?x?x!T>, %b: tensor<?x?x?x!T>) -> tensor<?x?x?x!T> {
  %zero = arith.constant 0.0 : !T
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %B = tensor.dim %a, %c0 : tensor<?x?x?x!T>
  %M = tensor.dim %a, %c1 : tensor<?x?x?x!T>
  %N = tensor.dim %b, %c2 : tensor<?x?x?x!T>
  %empty = tensor.empty(%B, %M, %N) : tensor<?x?x?x!T>
  %init = linalg.fill ins(%zero : !T) outs(%empty : tensor<?x?x?x!T>) -> tensor<?x?x?x!T>
  %c = linalg.batch_matmul ins(%a, %b : tensor<?x?x?x!T>, tensor<?x?x?x!T>)
                           outs(%init : tensor<?x?x?x!T>) -> tensor<?x?x?x!T>
  return %c : tensor<?x?x?x!T>
}
