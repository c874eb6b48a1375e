// y[r] = Σc x[r, c]
func.func @sum(%x: tensor<?x?xf32>) -> tensor<?xf32> {
  %start = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %R = tensor.dim %x, %c0 : tensor<?x?xf32>
  %empty = tensor.empty(%R) : tensor<?xf32>
  %init = linalg.fill ins(%start : f32) outs(%empty : tensor<?xf32>) -> tensor<?xf32>
  %y = linalg.reduce { arith.addf } ins(%x : tensor<?x?xf32>) outs(%init : tensor<?xf32>) dimensions = [1]
  return %y : tensor<?xf32>
}
