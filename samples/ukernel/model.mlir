// A dense layer for a batch of any size.
func.func @layer(%x: tensor<?x40xf32>, %w: tensor<40x50xf32>) -> tensor<?x50xf32> {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %m = tensor.dim %x, %c0 : tensor<?x40xf32>
  %empty = tensor.empty(%m) : tensor<?x50xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?x50xf32>) -> tensor<?x50xf32>
  %y = linalg.matmul ins(%x, %w : tensor<?x40xf32>, tensor<40x50xf32>)
      outs(%init : tensor<?x50xf32>) -> tensor<?x50xf32>
  return %y : tensor<?x50xf32>
}
