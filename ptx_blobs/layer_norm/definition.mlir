// Layer normalisation with scale and bias, where IREE fuses all of it into one dispatch
#row = affine_map<(r, c) -> (r)>
#column = affine_map<(r, c) -> (c)>
#element = affine_map<(r, c) -> (r, c)>

func.func @layer_norm_256(%x: tensor<?x256xf32>, %w: tensor<256xf32>, %b: tensor<256xf32>, %epsilon: f32) -> tensor<?x256xf32> {
  %zero = arith.constant 0.0 : f32
  %width = arith.constant 256.0 : f32
  %c0 = arith.constant 0 : index
  %R = tensor.dim %x, %c0 : tensor<?x256xf32>
  %row = tensor.empty(%R) : tensor<?xf32>
  %empty = tensor.empty(%R) : tensor<?x256xf32>
  %init = linalg.fill ins(%zero : f32) outs(%row : tensor<?xf32>) -> tensor<?xf32>
  %sum = linalg.generic {indexing_maps = [#element, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<?x256xf32>) outs(%init : tensor<?xf32>) {
  ^bb0(%in: f32, %so_far: f32):
    %next = arith.addf %in, %so_far : f32
    linalg.yield %next : f32
  } -> tensor<?xf32>
  %centred = linalg.generic {indexing_maps = [#element, #row, #element], iterator_types = ["parallel", "parallel"]}
      ins(%x, %sum : tensor<?x256xf32>, tensor<?xf32>) outs(%empty : tensor<?x256xf32>) {
  ^bb0(%in: f32, %total: f32, %out: f32):
    %mean = arith.divf %total, %width : f32
    %value = arith.subf %in, %mean : f32
    linalg.yield %value : f32
  } -> tensor<?x256xf32>
  %squares = linalg.generic {
      indexing_maps = [#element, #row], iterator_types = ["parallel", "reduction"]}
      ins(%centred : tensor<?x256xf32>) outs(%init : tensor<?xf32>) {
  ^bb0(%in: f32, %so_far: f32):
    %square = arith.mulf %in, %in : f32
    %next = arith.addf %square, %so_far : f32
    linalg.yield %next : f32
  } -> tensor<?xf32>
  %y = linalg.generic {
      indexing_maps = [#element, #row, #column, #column, #element], iterator_types = ["parallel", "parallel"]}
      ins(%centred, %squares, %w, %b : tensor<?x256xf32>, tensor<?xf32>, tensor<256xf32>, tensor<256xf32>)
      outs(%empty : tensor<?x256xf32>) {
  ^bb0(%in: f32, %total: f32, %weight: f32, %bias: f32, %out: f32):
    %mean = arith.divf %total, %width : f32
    %above = arith.addf %mean, %epsilon : f32
    %root = math.rsqrt %above : f32
    %scaled = arith.mulf %in, %root : f32
    %weighted = arith.mulf %scaled, %weight : f32
    %value = arith.addf %weighted, %bias : f32
    linalg.yield %value : f32
  } -> tensor<?x256xf32>
  return %y : tensor<?x256xf32>
}

func.func @layer_norm_384(%x: tensor<?x384xf32>, %w: tensor<384xf32>, %b: tensor<384xf32>, %epsilon: f32) -> tensor<?x384xf32> {
  %zero = arith.constant 0.0 : f32
  %width = arith.constant 384.0 : f32
  %c0 = arith.constant 0 : index
  %R = tensor.dim %x, %c0 : tensor<?x384xf32>
  %row = tensor.empty(%R) : tensor<?xf32>
  %empty = tensor.empty(%R) : tensor<?x384xf32>
  %init = linalg.fill ins(%zero : f32) outs(%row : tensor<?xf32>) -> tensor<?xf32>
  %sum = linalg.generic {indexing_maps = [#element, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<?x384xf32>) outs(%init : tensor<?xf32>) {
  ^bb0(%in: f32, %so_far: f32):
    %next = arith.addf %in, %so_far : f32
    linalg.yield %next : f32
  } -> tensor<?xf32>
  %centred = linalg.generic {indexing_maps = [#element, #row, #element], iterator_types = ["parallel", "parallel"]}
      ins(%x, %sum : tensor<?x384xf32>, tensor<?xf32>) outs(%empty : tensor<?x384xf32>) {
  ^bb0(%in: f32, %total: f32, %out: f32):
    %mean = arith.divf %total, %width : f32
    %value = arith.subf %in, %mean : f32
    linalg.yield %value : f32
  } -> tensor<?x384xf32>
  %squares = linalg.generic {
      indexing_maps = [#element, #row], iterator_types = ["parallel", "reduction"]}
      ins(%centred : tensor<?x384xf32>) outs(%init : tensor<?xf32>) {
  ^bb0(%in: f32, %so_far: f32):
    %square = arith.mulf %in, %in : f32
    %next = arith.addf %square, %so_far : f32
    linalg.yield %next : f32
  } -> tensor<?xf32>
  %y = linalg.generic {
      indexing_maps = [#element, #row, #column, #column, #element], iterator_types = ["parallel", "parallel"]}
      ins(%centred, %squares, %w, %b : tensor<?x384xf32>, tensor<?xf32>, tensor<384xf32>, tensor<384xf32>)
      outs(%empty : tensor<?x384xf32>) {
  ^bb0(%in: f32, %total: f32, %weight: f32, %bias: f32, %out: f32):
    %mean = arith.divf %total, %width : f32
    %above = arith.addf %mean, %epsilon : f32
    %root = math.rsqrt %above : f32
    %scaled = arith.mulf %in, %root : f32
    %weighted = arith.mulf %scaled, %weight : f32
    %value = arith.addf %weighted, %bias : f32
    linalg.yield %value : f32
  } -> tensor<?x384xf32>
  return %y : tensor<?x384xf32>
}

func.func @layer_norm_512(%x: tensor<?x512xf32>, %w: tensor<512xf32>, %b: tensor<512xf32>, %epsilon: f32) -> tensor<?x512xf32> {
  %zero = arith.constant 0.0 : f32
  %width = arith.constant 512.0 : f32
  %c0 = arith.constant 0 : index
  %R = tensor.dim %x, %c0 : tensor<?x512xf32>
  %row = tensor.empty(%R) : tensor<?xf32>
  %empty = tensor.empty(%R) : tensor<?x512xf32>
  %init = linalg.fill ins(%zero : f32) outs(%row : tensor<?xf32>) -> tensor<?xf32>
  %sum = linalg.generic {indexing_maps = [#element, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<?x512xf32>) outs(%init : tensor<?xf32>) {
  ^bb0(%in: f32, %so_far: f32):
    %next = arith.addf %in, %so_far : f32
    linalg.yield %next : f32
  } -> tensor<?xf32>
  %centred = linalg.generic {indexing_maps = [#element, #row, #element], iterator_types = ["parallel", "parallel"]}
      ins(%x, %sum : tensor<?x512xf32>, tensor<?xf32>) outs(%empty : tensor<?x512xf32>) {
  ^bb0(%in: f32, %total: f32, %out: f32):
    %mean = arith.divf %total, %width : f32
    %value = arith.subf %in, %mean : f32
    linalg.yield %value : f32
  } -> tensor<?x512xf32>
  %squares = linalg.generic {
      indexing_maps = [#element, #row], iterator_types = ["parallel", "reduction"]}
      ins(%centred : tensor<?x512xf32>) outs(%init : tensor<?xf32>) {
  ^bb0(%in: f32, %so_far: f32):
    %square = arith.mulf %in, %in : f32
    %next = arith.addf %square, %so_far : f32
    linalg.yield %next : f32
  } -> tensor<?xf32>
  %y = linalg.generic {
      indexing_maps = [#element, #row, #column, #column, #element], iterator_types = ["parallel", "parallel"]}
      ins(%centred, %squares, %w, %b : tensor<?x512xf32>, tensor<?xf32>, tensor<512xf32>, tensor<512xf32>)
      outs(%empty : tensor<?x512xf32>) {
  ^bb0(%in: f32, %total: f32, %weight: f32, %bias: f32, %out: f32):
    %mean = arith.divf %total, %width : f32
    %above = arith.addf %mean, %epsilon : f32
    %root = math.rsqrt %above : f32
    %scaled = arith.mulf %in, %root : f32
    %weighted = arith.mulf %scaled, %weight : f32
    %value = arith.addf %weighted, %bias : f32
    linalg.yield %value : f32
  } -> tensor<?x512xf32>
  return %y : tensor<?x512xf32>
}

func.func @layer_norm_768(%x: tensor<?x768xf32>, %w: tensor<768xf32>, %b: tensor<768xf32>, %epsilon: f32) -> tensor<?x768xf32> {
  %zero = arith.constant 0.0 : f32
  %width = arith.constant 768.0 : f32
  %c0 = arith.constant 0 : index
  %R = tensor.dim %x, %c0 : tensor<?x768xf32>
  %row = tensor.empty(%R) : tensor<?xf32>
  %empty = tensor.empty(%R) : tensor<?x768xf32>
  %init = linalg.fill ins(%zero : f32) outs(%row : tensor<?xf32>) -> tensor<?xf32>
  %sum = linalg.generic {indexing_maps = [#element, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<?x768xf32>) outs(%init : tensor<?xf32>) {
  ^bb0(%in: f32, %so_far: f32):
    %next = arith.addf %in, %so_far : f32
    linalg.yield %next : f32
  } -> tensor<?xf32>
  %centred = linalg.generic {indexing_maps = [#element, #row, #element], iterator_types = ["parallel", "parallel"]}
      ins(%x, %sum : tensor<?x768xf32>, tensor<?xf32>) outs(%empty : tensor<?x768xf32>) {
  ^bb0(%in: f32, %total: f32, %out: f32):
    %mean = arith.divf %total, %width : f32
    %value = arith.subf %in, %mean : f32
    linalg.yield %value : f32
  } -> tensor<?x768xf32>
  %squares = linalg.generic {
      indexing_maps = [#element, #row], iterator_types = ["parallel", "reduction"]}
      ins(%centred : tensor<?x768xf32>) outs(%init : tensor<?xf32>) {
  ^bb0(%in: f32, %so_far: f32):
    %square = arith.mulf %in, %in : f32
    %next = arith.addf %square, %so_far : f32
    linalg.yield %next : f32
  } -> tensor<?xf32>
  %y = linalg.generic {
      indexing_maps = [#element, #row, #column, #column, #element], iterator_types = ["parallel", "parallel"]}
      ins(%centred, %squares, %w, %b : tensor<?x768xf32>, tensor<?xf32>, tensor<768xf32>, tensor<768xf32>)
      outs(%empty : tensor<?x768xf32>) {
  ^bb0(%in: f32, %total: f32, %weight: f32, %bias: f32, %out: f32):
    %mean = arith.divf %total, %width : f32
    %above = arith.addf %mean, %epsilon : f32
    %root = math.rsqrt %above : f32
    %scaled = arith.mulf %in, %root : f32
    %weighted = arith.mulf %scaled, %weight : f32
    %value = arith.addf %weighted, %bias : f32
    linalg.yield %value : f32
  } -> tensor<?x768xf32>
  return %y : tensor<?x768xf32>
}

func.func @layer_norm_1024(%x: tensor<?x1024xf32>, %w: tensor<1024xf32>, %b: tensor<1024xf32>, %epsilon: f32) -> tensor<?x1024xf32> {
  %zero = arith.constant 0.0 : f32
  %width = arith.constant 1024.0 : f32
  %c0 = arith.constant 0 : index
  %R = tensor.dim %x, %c0 : tensor<?x1024xf32>
  %row = tensor.empty(%R) : tensor<?xf32>
  %empty = tensor.empty(%R) : tensor<?x1024xf32>
  %init = linalg.fill ins(%zero : f32) outs(%row : tensor<?xf32>) -> tensor<?xf32>
  %sum = linalg.generic {indexing_maps = [#element, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<?x1024xf32>) outs(%init : tensor<?xf32>) {
  ^bb0(%in: f32, %so_far: f32):
    %next = arith.addf %in, %so_far : f32
    linalg.yield %next : f32
  } -> tensor<?xf32>
  %centred = linalg.generic {indexing_maps = [#element, #row, #element], iterator_types = ["parallel", "parallel"]}
      ins(%x, %sum : tensor<?x1024xf32>, tensor<?xf32>) outs(%empty : tensor<?x1024xf32>) {
  ^bb0(%in: f32, %total: f32, %out: f32):
    %mean = arith.divf %total, %width : f32
    %value = arith.subf %in, %mean : f32
    linalg.yield %value : f32
  } -> tensor<?x1024xf32>
  %squares = linalg.generic {
      indexing_maps = [#element, #row], iterator_types = ["parallel", "reduction"]}
      ins(%centred : tensor<?x1024xf32>) outs(%init : tensor<?xf32>) {
  ^bb0(%in: f32, %so_far: f32):
    %square = arith.mulf %in, %in : f32
    %next = arith.addf %square, %so_far : f32
    linalg.yield %next : f32
  } -> tensor<?xf32>
  %y = linalg.generic {
      indexing_maps = [#element, #row, #column, #column, #element], iterator_types = ["parallel", "parallel"]}
      ins(%centred, %squares, %w, %b : tensor<?x1024xf32>, tensor<?xf32>, tensor<1024xf32>, tensor<1024xf32>)
      outs(%empty : tensor<?x1024xf32>) {
  ^bb0(%in: f32, %total: f32, %weight: f32, %bias: f32, %out: f32):
    %mean = arith.divf %total, %width : f32
    %above = arith.addf %mean, %epsilon : f32
    %root = math.rsqrt %above : f32
    %scaled = arith.mulf %in, %root : f32
    %weighted = arith.mulf %scaled, %weight : f32
    %value = arith.addf %weighted, %bias : f32
    linalg.yield %value : f32
  } -> tensor<?x1024xf32>
  return %y : tensor<?x1024xf32>
}

func.func @layer_norm_1536(%x: tensor<?x1536xf32>, %w: tensor<1536xf32>, %b: tensor<1536xf32>, %epsilon: f32) -> tensor<?x1536xf32> {
  %zero = arith.constant 0.0 : f32
  %width = arith.constant 1536.0 : f32
  %c0 = arith.constant 0 : index
  %R = tensor.dim %x, %c0 : tensor<?x1536xf32>
  %row = tensor.empty(%R) : tensor<?xf32>
  %empty = tensor.empty(%R) : tensor<?x1536xf32>
  %init = linalg.fill ins(%zero : f32) outs(%row : tensor<?xf32>) -> tensor<?xf32>
  %sum = linalg.generic {indexing_maps = [#element, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<?x1536xf32>) outs(%init : tensor<?xf32>) {
  ^bb0(%in: f32, %so_far: f32):
    %next = arith.addf %in, %so_far : f32
    linalg.yield %next : f32
  } -> tensor<?xf32>
  %centred = linalg.generic {indexing_maps = [#element, #row, #element], iterator_types = ["parallel", "parallel"]}
      ins(%x, %sum : tensor<?x1536xf32>, tensor<?xf32>) outs(%empty : tensor<?x1536xf32>) {
  ^bb0(%in: f32, %total: f32, %out: f32):
    %mean = arith.divf %total, %width : f32
    %value = arith.subf %in, %mean : f32
    linalg.yield %value : f32
  } -> tensor<?x1536xf32>
  %squares = linalg.generic {
      indexing_maps = [#element, #row], iterator_types = ["parallel", "reduction"]}
      ins(%centred : tensor<?x1536xf32>) outs(%init : tensor<?xf32>) {
  ^bb0(%in: f32, %so_far: f32):
    %square = arith.mulf %in, %in : f32
    %next = arith.addf %square, %so_far : f32
    linalg.yield %next : f32
  } -> tensor<?xf32>
  %y = linalg.generic {
      indexing_maps = [#element, #row, #column, #column, #element], iterator_types = ["parallel", "parallel"]}
      ins(%centred, %squares, %w, %b : tensor<?x1536xf32>, tensor<?xf32>, tensor<1536xf32>, tensor<1536xf32>)
      outs(%empty : tensor<?x1536xf32>) {
  ^bb0(%in: f32, %total: f32, %weight: f32, %bias: f32, %out: f32):
    %mean = arith.divf %total, %width : f32
    %above = arith.addf %mean, %epsilon : f32
    %root = math.rsqrt %above : f32
    %scaled = arith.mulf %in, %root : f32
    %weighted = arith.mulf %scaled, %weight : f32
    %value = arith.addf %weighted, %bias : f32
    linalg.yield %value : f32
  } -> tensor<?x1536xf32>
  return %y : tensor<?x1536xf32>
}

func.func @layer_norm_2048(%x: tensor<?x2048xf32>, %w: tensor<2048xf32>, %b: tensor<2048xf32>, %epsilon: f32) -> tensor<?x2048xf32> {
  %zero = arith.constant 0.0 : f32
  %width = arith.constant 2048.0 : f32
  %c0 = arith.constant 0 : index
  %R = tensor.dim %x, %c0 : tensor<?x2048xf32>
  %row = tensor.empty(%R) : tensor<?xf32>
  %empty = tensor.empty(%R) : tensor<?x2048xf32>
  %init = linalg.fill ins(%zero : f32) outs(%row : tensor<?xf32>) -> tensor<?xf32>
  %sum = linalg.generic {indexing_maps = [#element, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<?x2048xf32>) outs(%init : tensor<?xf32>) {
  ^bb0(%in: f32, %so_far: f32):
    %next = arith.addf %in, %so_far : f32
    linalg.yield %next : f32
  } -> tensor<?xf32>
  %centred = linalg.generic {indexing_maps = [#element, #row, #element], iterator_types = ["parallel", "parallel"]}
      ins(%x, %sum : tensor<?x2048xf32>, tensor<?xf32>) outs(%empty : tensor<?x2048xf32>) {
  ^bb0(%in: f32, %total: f32, %out: f32):
    %mean = arith.divf %total, %width : f32
    %value = arith.subf %in, %mean : f32
    linalg.yield %value : f32
  } -> tensor<?x2048xf32>
  %squares = linalg.generic {
      indexing_maps = [#element, #row], iterator_types = ["parallel", "reduction"]}
      ins(%centred : tensor<?x2048xf32>) outs(%init : tensor<?xf32>) {
  ^bb0(%in: f32, %so_far: f32):
    %square = arith.mulf %in, %in : f32
    %next = arith.addf %square, %so_far : f32
    linalg.yield %next : f32
  } -> tensor<?xf32>
  %y = linalg.generic {
      indexing_maps = [#element, #row, #column, #column, #element], iterator_types = ["parallel", "parallel"]}
      ins(%centred, %squares, %w, %b : tensor<?x2048xf32>, tensor<?xf32>, tensor<2048xf32>, tensor<2048xf32>)
      outs(%empty : tensor<?x2048xf32>) {
  ^bb0(%in: f32, %total: f32, %weight: f32, %bias: f32, %out: f32):
    %mean = arith.divf %total, %width : f32
    %above = arith.addf %mean, %epsilon : f32
    %root = math.rsqrt %above : f32
    %scaled = arith.mulf %in, %root : f32
    %weighted = arith.mulf %scaled, %weight : f32
    %value = arith.addf %weighted, %bias : f32
    linalg.yield %value : f32
  } -> tensor<?x2048xf32>
  return %y : tensor<?x2048xf32>
}

func.func @layer_norm_4096(%x: tensor<?x4096xf32>, %w: tensor<4096xf32>, %b: tensor<4096xf32>, %epsilon: f32) -> tensor<?x4096xf32> {
  %zero = arith.constant 0.0 : f32
  %width = arith.constant 4096.0 : f32
  %c0 = arith.constant 0 : index
  %R = tensor.dim %x, %c0 : tensor<?x4096xf32>
  %row = tensor.empty(%R) : tensor<?xf32>
  %empty = tensor.empty(%R) : tensor<?x4096xf32>
  %init = linalg.fill ins(%zero : f32) outs(%row : tensor<?xf32>) -> tensor<?xf32>
  %sum = linalg.generic {indexing_maps = [#element, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<?x4096xf32>) outs(%init : tensor<?xf32>) {
  ^bb0(%in: f32, %so_far: f32):
    %next = arith.addf %in, %so_far : f32
    linalg.yield %next : f32
  } -> tensor<?xf32>
  %centred = linalg.generic {indexing_maps = [#element, #row, #element], iterator_types = ["parallel", "parallel"]}
      ins(%x, %sum : tensor<?x4096xf32>, tensor<?xf32>) outs(%empty : tensor<?x4096xf32>) {
  ^bb0(%in: f32, %total: f32, %out: f32):
    %mean = arith.divf %total, %width : f32
    %value = arith.subf %in, %mean : f32
    linalg.yield %value : f32
  } -> tensor<?x4096xf32>
  %squares = linalg.generic {
      indexing_maps = [#element, #row], iterator_types = ["parallel", "reduction"]}
      ins(%centred : tensor<?x4096xf32>) outs(%init : tensor<?xf32>) {
  ^bb0(%in: f32, %so_far: f32):
    %square = arith.mulf %in, %in : f32
    %next = arith.addf %square, %so_far : f32
    linalg.yield %next : f32
  } -> tensor<?xf32>
  %y = linalg.generic {
      indexing_maps = [#element, #row, #column, #column, #element], iterator_types = ["parallel", "parallel"]}
      ins(%centred, %squares, %w, %b : tensor<?x4096xf32>, tensor<?xf32>, tensor<4096xf32>, tensor<4096xf32>)
      outs(%empty : tensor<?x4096xf32>) {
  ^bb0(%in: f32, %total: f32, %weight: f32, %bias: f32, %out: f32):
    %mean = arith.divf %total, %width : f32
    %above = arith.addf %mean, %epsilon : f32
    %root = math.rsqrt %above : f32
    %scaled = arith.mulf %in, %root : f32
    %weighted = arith.mulf %scaled, %weight : f32
    %value = arith.addf %weighted, %bias : f32
    linalg.yield %value : f32
  } -> tensor<?x4096xf32>
  return %y : tensor<?x4096xf32>
}
