// y[r, c] = exp(x[r, c] - max x[r, :]) / Σ exp(x[r, :] - max x[r, :])
func.func @softmax(%x: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %R = tensor.dim %x, %c0 : tensor<?x?xf32>
  %C = tensor.dim %x, %c1 : tensor<?x?xf32>
  %empty = tensor.empty(%R, %C) : tensor<?x?xf32>
  %y = linalg.softmax dimension(1) ins(%x : tensor<?x?xf32>) outs(%empty : tensor<?x?xf32>) -> tensor<?x?xf32>
  return %y : tensor<?x?xf32>
}
