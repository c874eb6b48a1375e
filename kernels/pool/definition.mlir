// y[r, p] = combine over w of x[r, p + w], one function per way to combine; `window` only says how many w there are
#x = affine_map<(r, p, w) -> (r, p + w)>
#window = affine_map<(r, p, w) -> (w)>
#y = affine_map<(r, p, w) -> (r, p)>

func.func @sum(%x: tensor<?x?xf32>, %window: tensor<?xf32>) -> tensor<?x?xf32> {
  %start = arith.constant 0.0 : f32
  %one = arith.constant 1 : index
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %R = tensor.dim %x, %c0 : tensor<?x?xf32>
  %X = tensor.dim %x, %c1 : tensor<?x?xf32>
  %W = tensor.dim %window, %c0 : tensor<?xf32>
  %room = arith.subi %X, %W : index
  %P = arith.addi %room, %one : index
  %empty = tensor.empty(%R, %P) : tensor<?x?xf32>
  %init = linalg.fill ins(%start : f32) outs(%empty : tensor<?x?xf32>) -> tensor<?x?xf32>
  %y = linalg.generic {indexing_maps = [#x, #window, #y], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %window : tensor<?x?xf32>, tensor<?xf32>) outs(%init : tensor<?x?xf32>) {
  ^bb0(%in: f32, %unused: f32, %so_far: f32):
    %next = arith.addf %so_far, %in : f32
    linalg.yield %next : f32
  } -> tensor<?x?xf32>
  return %y : tensor<?x?xf32>
}

func.func @maximum(%x: tensor<?x?xf32>, %window: tensor<?xf32>) -> tensor<?x?xf32> {
  %start = arith.constant 0xFF800000 : f32
  %one = arith.constant 1 : index
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %R = tensor.dim %x, %c0 : tensor<?x?xf32>
  %X = tensor.dim %x, %c1 : tensor<?x?xf32>
  %W = tensor.dim %window, %c0 : tensor<?xf32>
  %room = arith.subi %X, %W : index
  %P = arith.addi %room, %one : index
  %empty = tensor.empty(%R, %P) : tensor<?x?xf32>
  %init = linalg.fill ins(%start : f32) outs(%empty : tensor<?x?xf32>) -> tensor<?x?xf32>
  %y = linalg.generic {indexing_maps = [#x, #window, #y], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %window : tensor<?x?xf32>, tensor<?xf32>) outs(%init : tensor<?x?xf32>) {
  ^bb0(%in: f32, %unused: f32, %so_far: f32):
    %next = arith.maximumf %so_far, %in : f32
    linalg.yield %next : f32
  } -> tensor<?x?xf32>
  return %y : tensor<?x?xf32>
}

func.func @minimum(%x: tensor<?x?xf32>, %window: tensor<?xf32>) -> tensor<?x?xf32> {
  %start = arith.constant 0x7F800000 : f32
  %one = arith.constant 1 : index
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %R = tensor.dim %x, %c0 : tensor<?x?xf32>
  %X = tensor.dim %x, %c1 : tensor<?x?xf32>
  %W = tensor.dim %window, %c0 : tensor<?xf32>
  %room = arith.subi %X, %W : index
  %P = arith.addi %room, %one : index
  %empty = tensor.empty(%R, %P) : tensor<?x?xf32>
  %init = linalg.fill ins(%start : f32) outs(%empty : tensor<?x?xf32>) -> tensor<?x?xf32>
  %y = linalg.generic {indexing_maps = [#x, #window, #y], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %window : tensor<?x?xf32>, tensor<?xf32>) outs(%init : tensor<?x?xf32>) {
  ^bb0(%in: f32, %unused: f32, %so_far: f32):
    %next = arith.minimumf %so_far, %in : f32
    linalg.yield %next : f32
  } -> tensor<?x?xf32>
  return %y : tensor<?x?xf32>
}

func.func @maxnum(%x: tensor<?x?xf32>, %window: tensor<?xf32>) -> tensor<?x?xf32> {
  %start = arith.constant 0xFF800000 : f32
  %one = arith.constant 1 : index
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %R = tensor.dim %x, %c0 : tensor<?x?xf32>
  %X = tensor.dim %x, %c1 : tensor<?x?xf32>
  %W = tensor.dim %window, %c0 : tensor<?xf32>
  %room = arith.subi %X, %W : index
  %P = arith.addi %room, %one : index
  %empty = tensor.empty(%R, %P) : tensor<?x?xf32>
  %init = linalg.fill ins(%start : f32) outs(%empty : tensor<?x?xf32>) -> tensor<?x?xf32>
  %y = linalg.generic {indexing_maps = [#x, #window, #y], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %window : tensor<?x?xf32>, tensor<?xf32>) outs(%init : tensor<?x?xf32>) {
  ^bb0(%in: f32, %unused: f32, %so_far: f32):
    %next = arith.maxnumf %so_far, %in : f32
    linalg.yield %next : f32
  } -> tensor<?x?xf32>
  return %y : tensor<?x?xf32>
}

func.func @minnum(%x: tensor<?x?xf32>, %window: tensor<?xf32>) -> tensor<?x?xf32> {
  %start = arith.constant 0x7F800000 : f32
  %one = arith.constant 1 : index
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %R = tensor.dim %x, %c0 : tensor<?x?xf32>
  %X = tensor.dim %x, %c1 : tensor<?x?xf32>
  %W = tensor.dim %window, %c0 : tensor<?xf32>
  %room = arith.subi %X, %W : index
  %P = arith.addi %room, %one : index
  %empty = tensor.empty(%R, %P) : tensor<?x?xf32>
  %init = linalg.fill ins(%start : f32) outs(%empty : tensor<?x?xf32>) -> tensor<?x?xf32>
  %y = linalg.generic {indexing_maps = [#x, #window, #y], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %window : tensor<?x?xf32>, tensor<?xf32>) outs(%init : tensor<?x?xf32>) {
  ^bb0(%in: f32, %unused: f32, %so_far: f32):
    %next = arith.minnumf %so_far, %in : f32
    linalg.yield %next : f32
  } -> tensor<?x?xf32>
  return %y : tensor<?x?xf32>
}
