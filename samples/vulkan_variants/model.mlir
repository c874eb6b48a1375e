// A product of two vectors whose length is known when the model runs.
func.func @product(%x: tensor<?xf32>, %y: tensor<?xf32>) -> tensor<?xf32> {
  %product = arith.mulf %x, %y : tensor<?xf32>
  return %product : tensor<?xf32>
}
