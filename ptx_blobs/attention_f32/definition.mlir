// Attention with a mask and heads in the middle, scaled by 1 / √64, as torch's scaled_dot_product_attention arrives
#q = affine_map<(h, m, e, d, n) -> (m, h, d)>
#k = affine_map<(h, m, e, d, n) -> (n, h, d)>
#v = affine_map<(h, m, e, d, n) -> (n, h, e)>
#scale = affine_map<(h, m, e, d, n) -> ()>
#mask = affine_map<(h, m, e, d, n) -> (h, m, n)>
#out = affine_map<(h, m, e, d, n) -> (h, m, e)>
func.func @attention(%q: tensor<?x?x64xf32>, %k: tensor<?x?x64xf32>, %v: tensor<?x?x64xf32>, %bytes: tensor<?x?x?xi8>)
    -> tensor<?x?x64xf32> {
  %scale = arith.constant 1.250000e-01 : f32
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %M = tensor.dim %q, %c0 : tensor<?x?x64xf32>
  %H = tensor.dim %q, %c1 : tensor<?x?x64xf32>
  %mask = arith.trunci %bytes : tensor<?x?x?xi8> to tensor<?x?x?xi1>
  %e = tensor.empty(%H, %M) : tensor<?x?x64xf32>
  // in the generic form, since IREE's own spelling of this operation changed between its versions
  %heads = "iree_linalg_ext.attention"(%q, %k, %v, %scale, %mask, %e)
      <{indexing_maps = [#q, #k, #v, #scale, #mask, #out]}> ({
  ^bb0(%score: f32):
    "iree_linalg_ext.yield"(%score) : (f32) -> ()
  }) : (tensor<?x?x64xf32>, tensor<?x?x64xf32>, tensor<?x?x64xf32>, f32, tensor<?x?x?xi1>, tensor<?x?x64xf32>)
      -> tensor<?x?x64xf32>
  %o = tensor.empty(%M, %H) : tensor<?x?x64xf32>
  %turned = linalg.generic {
      indexing_maps = [affine_map<(h, m, e) -> (h, m, e)>, affine_map<(h, m, e) -> (m, h, e)>],
      iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%heads : tensor<?x?x64xf32>) outs(%o : tensor<?x?x64xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  } -> tensor<?x?x64xf32>
  return %turned : tensor<?x?x64xf32>
}
