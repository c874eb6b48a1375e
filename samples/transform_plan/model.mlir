// Two dense layers.
func.func @layers(%x: tensor<32x64xf32>, %w: tensor<64x96xf32>, %v: tensor<96x16xf32>) -> tensor<32x16xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<32x96xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<32x96xf32>) -> tensor<32x96xf32>
  %hidden = linalg.matmul ins(%x, %w : tensor<32x64xf32>, tensor<64x96xf32>)
                          outs(%init : tensor<32x96xf32>) -> tensor<32x96xf32>
  %empty2 = tensor.empty() : tensor<32x16xf32>
  %init2 = linalg.fill ins(%zero : f32) outs(%empty2 : tensor<32x16xf32>) -> tensor<32x16xf32>
  %result = linalg.matmul ins(%hidden, %v : tensor<32x96xf32>, tensor<96x16xf32>)
                          outs(%init2 : tensor<32x16xf32>) -> tensor<32x16xf32>
  return %result : tensor<32x16xf32>
}
