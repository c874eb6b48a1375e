// A dense layer with bias and ReLU.
func.func @dense(%x: tensor<48x96xf32>, %w: tensor<96x80xf32>, %bias: tensor<80xf32>) -> tensor<48x80xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<48x80xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<48x80xf32>) -> tensor<48x80xf32>
  %product = linalg.matmul ins(%x, %w : tensor<48x96xf32>, tensor<96x80xf32>)
                           outs(%init : tensor<48x80xf32>) -> tensor<48x80xf32>
  %result = linalg.generic {
      indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (n)>, affine_map<(m, n) -> (m, n)>],
      iterator_types = ["parallel", "parallel"]}
      ins(%product, %bias : tensor<48x80xf32>, tensor<80xf32>) outs(%empty : tensor<48x80xf32>) {
  ^bb0(%p: f32, %b: f32, %out: f32):
    %sum = arith.addf %p, %b : f32
    %relu = arith.maximumf %sum, %zero : f32
    linalg.yield %relu : f32
  } -> tensor<48x80xf32>
  return %result : tensor<48x80xf32>
}
