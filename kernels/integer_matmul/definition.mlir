// c[b, m, n] = Σk a[b, m, k] · b[b, k, n], in i32, and in i64 where a frontend widened first

func.func @matmul_i32(%a: tensor<?x?x?xi32>, %b: tensor<?x?x?xi32>) -> tensor<?x?x?xi32> {
  %zero = arith.constant 0 : i32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %B = tensor.dim %a, %c0 : tensor<?x?x?xi32>
  %M = tensor.dim %a, %c1 : tensor<?x?x?xi32>
  %N = tensor.dim %b, %c2 : tensor<?x?x?xi32>
  %empty = tensor.empty(%B, %M, %N) : tensor<?x?x?xi32>
  %init = linalg.fill ins(%zero : i32) outs(%empty : tensor<?x?x?xi32>) -> tensor<?x?x?xi32>
  %c = linalg.batch_matmul ins(%a, %b : tensor<?x?x?xi32>, tensor<?x?x?xi32>)
                           outs(%init : tensor<?x?x?xi32>) -> tensor<?x?x?xi32>
  return %c : tensor<?x?x?xi32>
}

func.func @matmul_i64(%a: tensor<?x?x?xi64>, %b: tensor<?x?x?xi64>) -> tensor<?x?x?xi64> {
  %zero = arith.constant 0 : i64
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %B = tensor.dim %a, %c0 : tensor<?x?x?xi64>
  %M = tensor.dim %a, %c1 : tensor<?x?x?xi64>
  %N = tensor.dim %b, %c2 : tensor<?x?x?xi64>
  %empty = tensor.empty(%B, %M, %N) : tensor<?x?x?xi64>
  %init = linalg.fill ins(%zero : i64) outs(%empty : tensor<?x?x?xi64>) -> tensor<?x?x?xi64>
  %c = linalg.batch_matmul ins(%a, %b : tensor<?x?x?xi64>, tensor<?x?x?xi64>)
                           outs(%init : tensor<?x?x?xi64>) -> tensor<?x?x?xi64>
  return %c : tensor<?x?x?xi64>
}
