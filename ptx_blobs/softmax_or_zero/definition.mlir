// Softmax, and 0 where that is NaN: a row that is masked as a whole, as torch's scaled_dot_product_attention has it
func.func @softmax_or_zero(%x: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %R = tensor.dim %x, %c0 : tensor<?x?xf32>
  %C = tensor.dim %x, %c1 : tensor<?x?xf32>
  %empty = tensor.empty(%R, %C) : tensor<?x?xf32>
  %y = linalg.softmax dimension(1) ins(%x : tensor<?x?xf32>) outs(%empty : tensor<?x?xf32>) -> tensor<?x?xf32>
  %z = linalg.generic {
      indexing_maps = [affine_map<(r, c) -> (r, c)>, affine_map<(r, c) -> (r, c)>],
      iterator_types = ["parallel", "parallel"]} ins(%y : tensor<?x?xf32>) outs(%empty : tensor<?x?xf32>) {
  ^bb0(%in: f32, %out: f32):
    %nan = arith.cmpf une, %in, %in : f32
    %value = arith.select %nan, %zero, %in : f32
    linalg.yield %value : f32
  } -> tensor<?x?xf32>
  return %z : tensor<?x?xf32>
}
