// y[r] = combine over c of x[r, c], one function per way to combine

func.func @sum(%x: tensor<?x?xf32>) -> tensor<?xf32> {
  %start = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %R = tensor.dim %x, %c0 : tensor<?x?xf32>
  %empty = tensor.empty(%R) : tensor<?xf32>
  %init = linalg.fill ins(%start : f32) outs(%empty : tensor<?xf32>) -> tensor<?xf32>
  %y = linalg.reduce { arith.addf } ins(%x : tensor<?x?xf32>) outs(%init : tensor<?xf32>) dimensions = [1]
  return %y : tensor<?xf32>
}

func.func @product(%x: tensor<?x?xf32>) -> tensor<?xf32> {
  %start = arith.constant 1.0 : f32
  %c0 = arith.constant 0 : index
  %R = tensor.dim %x, %c0 : tensor<?x?xf32>
  %empty = tensor.empty(%R) : tensor<?xf32>
  %init = linalg.fill ins(%start : f32) outs(%empty : tensor<?xf32>) -> tensor<?xf32>
  %y = linalg.reduce { arith.mulf } ins(%x : tensor<?x?xf32>) outs(%init : tensor<?xf32>) dimensions = [1]
  return %y : tensor<?xf32>
}

func.func @maximum(%x: tensor<?x?xf32>) -> tensor<?xf32> {
  %start = arith.constant 0xFF800000 : f32
  %c0 = arith.constant 0 : index
  %R = tensor.dim %x, %c0 : tensor<?x?xf32>
  %empty = tensor.empty(%R) : tensor<?xf32>
  %init = linalg.fill ins(%start : f32) outs(%empty : tensor<?xf32>) -> tensor<?xf32>
  %y = linalg.reduce { arith.maximumf } ins(%x : tensor<?x?xf32>) outs(%init : tensor<?xf32>) dimensions = [1]
  return %y : tensor<?xf32>
}

func.func @minimum(%x: tensor<?x?xf32>) -> tensor<?xf32> {
  %start = arith.constant 0x7F800000 : f32
  %c0 = arith.constant 0 : index
  %R = tensor.dim %x, %c0 : tensor<?x?xf32>
  %empty = tensor.empty(%R) : tensor<?xf32>
  %init = linalg.fill ins(%start : f32) outs(%empty : tensor<?xf32>) -> tensor<?xf32>
  %y = linalg.reduce { arith.minimumf } ins(%x : tensor<?x?xf32>) outs(%init : tensor<?xf32>) dimensions = [1]
  return %y : tensor<?xf32>
}

func.func @maxnum(%x: tensor<?x?xf32>) -> tensor<?xf32> {
  %start = arith.constant 0xFF800000 : f32
  %c0 = arith.constant 0 : index
  %R = tensor.dim %x, %c0 : tensor<?x?xf32>
  %empty = tensor.empty(%R) : tensor<?xf32>
  %init = linalg.fill ins(%start : f32) outs(%empty : tensor<?xf32>) -> tensor<?xf32>
  %y = linalg.reduce { arith.maxnumf } ins(%x : tensor<?x?xf32>) outs(%init : tensor<?xf32>) dimensions = [1]
  return %y : tensor<?xf32>
}

func.func @minnum(%x: tensor<?x?xf32>) -> tensor<?xf32> {
  %start = arith.constant 0x7F800000 : f32
  %c0 = arith.constant 0 : index
  %R = tensor.dim %x, %c0 : tensor<?x?xf32>
  %empty = tensor.empty(%R) : tensor<?xf32>
  %init = linalg.fill ins(%start : f32) outs(%empty : tensor<?xf32>) -> tensor<?xf32>
  %y = linalg.reduce { arith.minnumf } ins(%x : tensor<?x?xf32>) outs(%init : tensor<?xf32>) dimensions = [1]
  return %y : tensor<?xf32>
}
