// Hard swish over any number of elements.
func.func @hard_swish(%x: tensor<?xf32>) -> tensor<?xf32> {
  %zero = arith.constant 0.0 : f32
  %three = arith.constant 3.0 : f32
  %six = arith.constant 6.0 : f32
  %c0 = arith.constant 0 : index
  %count = tensor.dim %x, %c0 : tensor<?xf32>
  %empty = tensor.empty(%count) : tensor<?xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%x : tensor<?xf32>) outs(%empty : tensor<?xf32>) {
  ^bb0(%value: f32, %out: f32):
    %moved = arith.addf %value, %three : f32
    %positive = arith.maximumf %moved, %zero : f32
    %bounded = arith.minimumf %positive, %six : f32
    %scaled = arith.divf %bounded, %six : f32
    %result = arith.mulf %value, %scaled : f32
    linalg.yield %result : f32
  } -> tensor<?xf32>
  return %y : tensor<?xf32>
}
