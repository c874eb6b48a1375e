// y[g, n, f, p] = Σc Σr x[g, n, c, p + r] · w[g, f, c, r]
// Each axis stands for any number of loops, and operands are strided: so p and r may be one, two or three positions
// and taps with any stride and dilation, and g alone makes the convolution depthwise.
#x = affine_map<(g, n, f, p, c, r) -> (g, n, c, p + r)>
#w = affine_map<(g, n, f, p, c, r) -> (g, f, c, r)>
#y = affine_map<(g, n, f, p, c, r) -> (g, n, f, p)>
func.func @conv(%x: tensor<?x?x?x?xf32>, %w: tensor<?x?x?x?xf32>) -> tensor<?x?x?x?xf32> {
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1 : index
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c3 = arith.constant 3 : index
  %G = tensor.dim %x, %c0 : tensor<?x?x?x?xf32>
  %N = tensor.dim %x, %c1 : tensor<?x?x?x?xf32>
  %F = tensor.dim %w, %c1 : tensor<?x?x?x?xf32>
  %X = tensor.dim %x, %c3 : tensor<?x?x?x?xf32>
  %R = tensor.dim %w, %c3 : tensor<?x?x?x?xf32>
  %room = arith.subi %X, %R : index
  %P = arith.addi %room, %one : index
  %empty = tensor.empty(%G, %N, %F, %P) : tensor<?x?x?x?xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x?x?x?xf32>) -> tensor<?x?x?x?xf32>
  %y = linalg.generic {
      indexing_maps = [#x, #w, #y],
      iterator_types = ["parallel", "parallel", "parallel", "parallel", "reduction", "reduction"]}
      ins(%x, %w : tensor<?x?x?x?xf32>, tensor<?x?x?x?xf32>) outs(%init : tensor<?x?x?x?xf32>) {
  ^bb0(%in: f32, %weight: f32, %sum: f32):
    %product = arith.mulf %in, %weight : f32
    %next = arith.addf %sum, %product : f32
    linalg.yield %next : f32
  } -> tensor<?x?x?x?xf32>
  return %y : tensor<?x?x?x?xf32>
}
