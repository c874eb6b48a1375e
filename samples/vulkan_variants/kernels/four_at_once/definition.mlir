func.func @product(%x: tensor<?xf32>, %y: tensor<?xf32>) -> tensor<?xf32> {
  %z = arith.mulf %x, %y : tensor<?xf32>
  return %z : tensor<?xf32>
}
