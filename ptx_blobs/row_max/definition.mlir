// y[r] = the largest x[r, c]
func.func @maximum(%x: tensor<?x?xf32>) -> tensor<?xf32> {
  %start = arith.constant 0xFF800000 : f32
  %c0 = arith.constant 0 : index
  %R = tensor.dim %x, %c0 : tensor<?x?xf32>
  %empty = tensor.empty(%R) : tensor<?xf32>
  %init = linalg.fill ins(%start : f32) outs(%empty : tensor<?xf32>) -> tensor<?xf32>
  %y = linalg.reduce { arith.maximumf } ins(%x : tensor<?x?xf32>) outs(%init : tensor<?xf32>) dimensions = [1]
  return %y : tensor<?xf32>
}
