// y[m] = Σn x[m, n]
func.func @row_sums(%x: tensor<?x?xf32>) -> tensor<?xf32> {
  %zero = arith.constant 0.0 : f32
  %c0 = arith.constant 0 : index
  %M = tensor.dim %x, %c0 : tensor<?x?xf32>
  %empty = tensor.empty(%M) : tensor<?xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<?xf32>) -> tensor<?xf32>
  %y = linalg.reduce ins(%x : tensor<?x?xf32>) outs(%init : tensor<?xf32>) dimensions = [1]
    (%value: f32, %sum: f32) {
      %next = arith.addf %value, %sum : f32
      linalg.yield %next : f32
    }
  return %y : tensor<?xf32>
}
