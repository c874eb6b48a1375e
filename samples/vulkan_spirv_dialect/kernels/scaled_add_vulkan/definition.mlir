// y = 3·a + b over any number of elements
func.func @scaled_add(%a: tensor<?xf32>, %b: tensor<?xf32>) -> tensor<?xf32> {
  %three = arith.constant 3.0 : f32
  %c0 = arith.constant 0 : index
  %count = tensor.dim %a, %c0 : tensor<?xf32>
  %empty = tensor.empty(%count) : tensor<?xf32>
  %y = linalg.generic {
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
      iterator_types = ["parallel"]}
      ins(%a, %b : tensor<?xf32>, tensor<?xf32>) outs(%empty : tensor<?xf32>) {
  ^bb0(%l: f32, %r: f32, %out: f32):
    %scaled = arith.mulf %l, %three : f32
    %sum = arith.addf %scaled, %r : f32
    linalg.yield %sum : f32
  } -> tensor<?xf32>
  return %y : tensor<?xf32>
}
