// out = (a·b + b) · (a·b) for vectors of any length. Left to itself IREE makes one dispatch of the three steps; here the
// program draws the borders: a product, a sum, and a product that is written over the sum.
#id = affine_map<(i) -> (i)>
func.func @mixed_invocation(%a: tensor<?xf32>, %b: tensor<?xf32>) -> tensor<?xf32> {
  %c0 = arith.constant 0 : index
  %size = tensor.dim %a, %c0 : tensor<?xf32>
  %product = flow.dispatch.region -> (tensor<?xf32>{%size}) {
    %empty = tensor.empty(%size) : tensor<?xf32>
    %ab = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]}
        ins(%a, %b : tensor<?xf32>, tensor<?xf32>) outs(%empty : tensor<?xf32>) {
    ^bb0(%x: f32, %y: f32, %out: f32):
      %xy = arith.mulf %x, %y : f32
      linalg.yield %xy : f32
    } -> tensor<?xf32>
    flow.return %ab : tensor<?xf32>
  }
  // IREE's own code
  %sum = arith.addf %product, %b : tensor<?xf32>
  // `-> %sum`: the result has the sum's memory
  %result = flow.dispatch.workgroups[%size](%product, %sum, %size)
      : (tensor<?xf32>{%size}, tensor<?xf32>{%size}, index) -> %sum{%size} =
      (%p: !iree_tensor_ext.dispatch.tensor<readonly:tensor<?xf32>>,
       %s: !iree_tensor_ext.dispatch.tensor<readwrite:tensor<?xf32>>, %count: index) {
    %n = iree_tensor_ext.dispatch.workload.ordinal %count, 0 : index
    %x = iree_tensor_ext.dispatch.tensor.load %p, offsets = [0], sizes = [%n], strides = [1]
        : !iree_tensor_ext.dispatch.tensor<readonly:tensor<?xf32>>{%n} -> tensor<?xf32>
    %y = iree_tensor_ext.dispatch.tensor.load %s, offsets = [0], sizes = [%n], strides = [1]
        : !iree_tensor_ext.dispatch.tensor<readwrite:tensor<?xf32>>{%n} -> tensor<?xf32>
    %xy = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel"]}
        ins(%x : tensor<?xf32>) outs(%y : tensor<?xf32>) {
    ^bb0(%u: f32, %v: f32):
      %uv = arith.mulf %u, %v : f32
      linalg.yield %uv : f32
    } -> tensor<?xf32>
    iree_tensor_ext.dispatch.tensor.store %xy, %s, offsets = [0], sizes = [%n], strides = [1]
        : tensor<?xf32> -> !iree_tensor_ext.dispatch.tensor<readwrite:tensor<?xf32>>{%n}
    flow.return
  } count(%n: index) -> (index, index, index) {
    %x, %y, %z = iree_tensor_ext.dispatch.workgroup_count_from_slice(%n)
    flow.return %x, %y, %z : index, index, index
  }
  return %result : tensor<?xf32>
}
