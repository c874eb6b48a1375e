func.func @sum_rows(%x: tensor<24x48xf32>) -> tensor<24xf32> {
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<24xf32>
  %init = linalg.fill ins(%zero : f32) outs(%empty : tensor<24xf32>) -> tensor<24xf32>
  %y = linalg.reduce ins(%x : tensor<24x48xf32>) outs(%init : tensor<24xf32>) dimensions = [1]
    (%value: f32, %sum: f32) {
      %next = arith.addf %value, %sum : f32
      linalg.yield %next : f32
    }
  return %y : tensor<24xf32>
}
