// y[g, n, f, p] = Σc Σr x[g, n, c, p + r] · w[g, f, c, r], in T from beginning to end: the sum too
// Axes are those of kernel `conv`.
#x = affine_map<(g, n, f, p, c, r) -> (g, n, c, p + r)>
#w = affine_map<(g, n, f, p, c, r) -> (g, f, c, r)>
#y = affine_map<(g, n, f, p, c, r) -> (g, n, f, p)>
!T = f16
func.func @half_conv(%x: tensor<?x?x?x?x!T>, %w: tensor<?x?x?x?x!T>) -> tensor<?x?x?x?x!T> {
  %zero = arith.constant 0.0 : !T
  %one = arith.constant 1 : index
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %G = tensor.dim %x, %c0 : tensor<?x?x?x?x!T>
  %N = tensor.dim %x, %c1 : tensor<?x?x?x?x!T>
  %F = tensor.dim %w, %c1 : tensor<?x?x?x?x!T>
  %X = tensor.dim %x, %c3 : tensor<?x?x?x?x!T>
  %R = tensor.dim %w, %c3 : tensor<?x?x?x?x!T>
  %room = arith.subi %X, %R : index
  %P = arith.addi %room, %one : index
  %empty = tensor.empty(%G, %N, %F, %P) : tensor<?x?x?x?x!T>
  %init = linalg.fill ins(%zero : !T) outs(%empty : tensor<?x?x?x?x!T>) -> tensor<?x?x?x?x!T>
  %y = linalg.generic {
      indexing_maps = [#x, #w, #y],
      iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction"]}
      ins(%x, %w : tensor<?x?x?x?x!T>, tensor<?x?x?x?x!T>) outs(%init : tensor<?x?x?x?x!T>) {
  ^bb0(%in: !T, %weight: !T, %sum: !T):
    %product = arith.mulf %in, %weight : !T
    %next = arith.addf %sum, %product : !T
    linalg.yield %next : !T
  } -> tensor<?x?x?x?x!T>
  return %y : tensor<?x?x?x?x!T>
}
