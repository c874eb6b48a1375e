// A classifier's head: scores = x · w, and which class has the largest of each row.
func.func @classify(%x: tensor<4x32xf32>, %w: tensor<32x256xf32>) -> tensor<4xi64> {
  %nothing = arith.constant 0.0 : f32
  %first = arith.constant 0 : i64
  %lowest = arith.constant 0xFF800000 : f32
  %e0 = tensor.empty() : tensor<4x256xf32>
  %i0 = linalg.fill ins(%nothing : f32) outs(%e0 : tensor<4x256xf32>) -> tensor<4x256xf32>
  %scores = linalg.matmul ins(%x, %w : tensor<4x32xf32>, tensor<32x256xf32>)
      outs(%i0 : tensor<4x256xf32>) -> tensor<4x256xf32>
  %e1 = tensor.empty() : tensor<4xf32>
  %e2 = tensor.empty() : tensor<4xi64>
  %i1 = linalg.fill ins(%lowest : f32) outs(%e1 : tensor<4xf32>) -> tensor<4xf32>
  %i2 = linalg.fill ins(%first : i64) outs(%e2 : tensor<4xi64>) -> tensor<4xi64>
  %best:2 = linalg.generic {
      indexing_maps = [affine_map<(m, n) -> (m, n)>, affine_map<(m, n) -> (m)>, affine_map<(m, n) -> (m)>],
      iterator_types = ["parallel", "reduction"]}
      ins(%scores : tensor<4x256xf32>) outs(%i1, %i2 : tensor<4xf32>, tensor<4xi64>) {
  ^bb0(%score: f32, %largest: f32, %at: i64):
    %n = linalg.index 1 : index
    %here = arith.index_cast %n : index to i64
    %larger = arith.maximumf %score, %largest : f32
    %is = arith.cmpf ogt, %score, %largest : f32
    %where = arith.select %is, %here, %at : i64
    linalg.yield %larger, %where : f32, i64
  } -> (tensor<4xf32>, tensor<4xi64>)
  return %best#1 : tensor<4xi64>
}
