// s[r] = Σc (x[r, c] - t[r])² with t[r] = Σc x[r, c]: the two chained reductions of layer normalisation, where they are
// fused into one dispatch. What makes a mean of the total t stands in the prologue slot of the second reduction.
#row = affine_map<(r, c) -> (r)>
#element = affine_map<(r, c) -> (r, c)>
func.func @two_pass(%x: tensor<?x?xf32>) -> tensor<?xf32> {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %R = tensor.dim %x, %c0 : tensor<?x?xf32>
  %empty = tensor.empty(%R) : tensor<?xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?xf32>) -> tensor<?xf32>
  %sum = linalg.reduce { arith.addf } ins(%x : tensor<?x?xf32>) outs(%init : tensor<?xf32>) dimensions = [1]
  %y = linalg.generic {indexing_maps = [#element, #row, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x, %sum : tensor<?x?xf32>, tensor<?xf32>) outs(%init : tensor<?xf32>) {
  ^bb0(%in: f32, %total: f32, %so_far: f32):
    %centred = arith.subf %in, %total : f32
    %square = arith.mulf %centred, %centred : f32
    %next = arith.addf %so_far, %square : f32
    linalg.yield %next : f32
  } -> tensor<?xf32>
  return %y : tensor<?xf32>
}
