// c = a · b, element by element
func.func @mul(%a: tensor<?xf32>, %b: tensor<?xf32>) -> tensor<?xf32> {
  %c0 = arith.constant 0 : index
  %size = tensor.dim %a, %c0 : tensor<?xf32>
  %empty = tensor.empty(%size) : tensor<?xf32>
  %c = linalg.generic {
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>, affine_map<(i) -> (i)>],
      iterator_types = ["parallel"]}
      ins(%a, %b : tensor<?xf32>, tensor<?xf32>) outs(%empty : tensor<?xf32>) {
  ^bb0(%x: f32, %y: f32, %out: f32):
    %xy = arith.mulf %x, %y : f32
    linalg.yield %xy : f32
  } -> tensor<?xf32>
  return %c : tensor<?xf32>
}
