// y[g, n, f, p] = Σc Σr x[g, n, c, p + r] · w[g, f, c, r], in i32, and in i64 where a frontend widened first
// Axes are those of kernel `conv`.
#x = affine_map<(g, n, f, p, c, r) -> (g, n, c, p + r)>
#w = affine_map<(g, n, f, p, c, r) -> (g, f, c, r)>
#y = affine_map<(g, n, f, p, c, r) -> (g, n, f, p)>
func.func @conv_i32(%x: tensor<?x?x?x?xi32>, %w: tensor<?x?x?x?xi32>) -> tensor<?x?x?x?xi32> {
  %zero = arith.constant 0 : i32
  %one = arith.constant 1 : index
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %G = tensor.dim %x, %c0 : tensor<?x?x?x?xi32>
  %N = tensor.dim %x, %c1 : tensor<?x?x?x?xi32>
  %F = tensor.dim %w, %c1 : tensor<?x?x?x?xi32>
  %X = tensor.dim %x, %c3 : tensor<?x?x?x?xi32>
  %R = tensor.dim %w, %c3 : tensor<?x?x?x?xi32>
  %room = arith.subi %X, %R : index
  %P = arith.addi %room, %one : index
  %empty = tensor.empty(%G, %N, %F, %P) : tensor<?x?x?x?xi32>
  %init = linalg.fill ins(%zero : i32) outs(%empty : tensor<?x?x?x?xi32>) -> tensor<?x?x?x?xi32>
  %y = linalg.generic {
      indexing_maps = [#x, #w, #y],
      iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction"]}
      ins(%x, %w : tensor<?x?x?x?xi32>, tensor<?x?x?x?xi32>) outs(%init : tensor<?x?x?x?xi32>) {
  ^bb0(%in: i32, %weight: i32, %sum: i32):
    %product = arith.muli %in, %weight : i32
    %next = arith.addi %sum, %product : i32
    linalg.yield %next : i32
  } -> tensor<?x?x?x?xi32>
  return %y : tensor<?x?x?x?xi32>
}

func.func @conv_i64(%x: tensor<?x?x?x?xi64>, %w: tensor<?x?x?x?xi64>) -> tensor<?x?x?x?xi64> {
  %zero = arith.constant 0 : i64
  %one = arith.constant 1 : index
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %G = tensor.dim %x, %c0 : tensor<?x?x?x?xi64>
  %N = tensor.dim %x, %c1 : tensor<?x?x?x?xi64>
  %F = tensor.dim %w, %c1 : tensor<?x?x?x?xi64>
  %X = tensor.dim %x, %c3 : tensor<?x?x?x?xi64>
  %R = tensor.dim %w, %c3 : tensor<?x?x?x?xi64>
  %room = arith.subi %X, %R : index
  %P = arith.addi %room, %one : index
  %empty = tensor.empty(%G, %N, %F, %P) : tensor<?x?x?x?xi64>
  %init = linalg.fill ins(%zero : i64) outs(%empty : tensor<?x?x?x?xi64>) -> tensor<?x?x?x?xi64>
  %y = linalg.generic {
      indexing_maps = [#x, #w, #y],
      iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction"]}
      ins(%x, %w : tensor<?x?x?x?xi64>, tensor<?x?x?x?xi64>) outs(%init : tensor<?x?x?x?xi64>) {
  ^bb0(%in: i64, %weight: i64, %sum: i64):
    %product = arith.muli %in, %weight : i64
    %next = arith.addi %sum, %product : i64
    linalg.yield %next : i64
  } -> tensor<?x?x?x?xi64>
  return %y : tensor<?x?x?x?xi64>
}
