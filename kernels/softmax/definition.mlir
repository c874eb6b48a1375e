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
func.func @softmax_f16(%x: tensor<?x?xf16>) -> tensor<?x?xf16> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %R = tensor.dim %x, %c0 : tensor<?x?xf16>
  %C = tensor.dim %x, %c1 : tensor<?x?xf16>
  %empty = tensor.empty(%R, %C) : tensor<?x?xf16>
  %y = linalg.softmax dimension(1) ins(%x : tensor<?x?xf16>) outs(%empty : tensor<?x?xf16>) -> tensor<?x?xf16>
  return %y : tensor<?x?xf16>
}
func.func @softmax_bf16(%x: tensor<?x?xbf16>) -> tensor<?x?xbf16> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %R = tensor.dim %x, %c0 : tensor<?x?xbf16>
  %C = tensor.dim %x, %c1 : tensor<?x?xbf16>
  %empty = tensor.empty(%R, %C) : tensor<?x?xbf16>
  %y = linalg.softmax dimension(1) ins(%x : tensor<?x?xbf16>) outs(%empty : tensor<?x?xbf16>) -> tensor<?x?xbf16>
  return %y : tensor<?x?xbf16>
}
func.func @softmax_f64(%x: tensor<?x?xf64>) -> tensor<?x?xf64> {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %R = tensor.dim %x, %c0 : tensor<?x?xf64>
  %C = tensor.dim %x, %c1 : tensor<?x?xf64>
  %empty = tensor.empty(%R, %C) : tensor<?x?xf64>
  %y = linalg.softmax dimension(1) ins(%x : tensor<?x?xf64>) outs(%empty : tensor<?x?xf64>) -> tensor<?x?xf64>
  return %y : tensor<?x?xf64>
}
