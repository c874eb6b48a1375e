// y[i] = x[i]; with the slots, x[i] is anything

func.func @f32(%x: tensor<?xf32>) -> tensor<?xf32> {
  %c0 = arith.constant 0 : index
  %N = tensor.dim %x, %c0 : tensor<?xf32>
  %empty = tensor.empty(%N) : tensor<?xf32>
  %y = linalg.generic {
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%x : tensor<?xf32>) outs(%empty : tensor<?xf32>) {
  ^bb0(%in: f32, %out: f32):
    linalg.yield %in : f32
  } -> tensor<?xf32>
  return %y : tensor<?xf32>
}

func.func @f16(%x: tensor<?xf16>) -> tensor<?xf16> {
  %c0 = arith.constant 0 : index
  %N = tensor.dim %x, %c0 : tensor<?xf16>
  %empty = tensor.empty(%N) : tensor<?xf16>
  %y = linalg.generic {
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%x : tensor<?xf16>) outs(%empty : tensor<?xf16>) {
  ^bb0(%in: f16, %out: f16):
    linalg.yield %in : f16
  } -> tensor<?xf16>
  return %y : tensor<?xf16>
}

func.func @bf16(%x: tensor<?xbf16>) -> tensor<?xbf16> {
  %c0 = arith.constant 0 : index
  %N = tensor.dim %x, %c0 : tensor<?xbf16>
  %empty = tensor.empty(%N) : tensor<?xbf16>
  %y = linalg.generic {
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%x : tensor<?xbf16>) outs(%empty : tensor<?xbf16>) {
  ^bb0(%in: bf16, %out: bf16):
    linalg.yield %in : bf16
  } -> tensor<?xbf16>
  return %y : tensor<?xbf16>
}

func.func @i8(%x: tensor<?xi8>) -> tensor<?xi8> {
  %c0 = arith.constant 0 : index
  %N = tensor.dim %x, %c0 : tensor<?xi8>
  %empty = tensor.empty(%N) : tensor<?xi8>
  %y = linalg.generic {
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%x : tensor<?xi8>) outs(%empty : tensor<?xi8>) {
  ^bb0(%in: i8, %out: i8):
    linalg.yield %in : i8
  } -> tensor<?xi8>
  return %y : tensor<?xi8>
}

func.func @i16(%x: tensor<?xi16>) -> tensor<?xi16> {
  %c0 = arith.constant 0 : index
  %N = tensor.dim %x, %c0 : tensor<?xi16>
  %empty = tensor.empty(%N) : tensor<?xi16>
  %y = linalg.generic {
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%x : tensor<?xi16>) outs(%empty : tensor<?xi16>) {
  ^bb0(%in: i16, %out: i16):
    linalg.yield %in : i16
  } -> tensor<?xi16>
  return %y : tensor<?xi16>
}

func.func @i32(%x: tensor<?xi32>) -> tensor<?xi32> {
  %c0 = arith.constant 0 : index
  %N = tensor.dim %x, %c0 : tensor<?xi32>
  %empty = tensor.empty(%N) : tensor<?xi32>
  %y = linalg.generic {
      indexing_maps = [affine_map<(i) -> (i)>, affine_map<(i) -> (i)>], iterator_types = ["parallel"]}
      ins(%x : tensor<?xi32>) outs(%empty : tensor<?xi32>) {
  ^bb0(%in: i32, %out: i32):
    linalg.yield %in : i32
  } -> tensor<?xi32>
  return %y : tensor<?xi32>
}
