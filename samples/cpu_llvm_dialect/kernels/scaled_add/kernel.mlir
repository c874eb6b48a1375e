// The canonical ABI: a pointer for each operand, at its first element; the axis N; the workgroup's ids.
llvm.func @scaled_add(%a: !llvm.ptr, %b: !llvm.ptr, %y: !llvm.ptr, %n: i64, %x: i64, %id_y: i64, %id_z: i64) {
  %step = llvm.mlir.constant(1 : i64) : i64
  %block = llvm.mlir.constant(256 : i64) : i64
  %first = llvm.mul %x, %block : i64
  %end = llvm.add %first, %block : i64
  %last = llvm.intr.umin(%end, %n) : (i64, i64) -> i64
  llvm.br ^check(%first : i64)
^check(%i: i64):
  %more = llvm.icmp "ult" %i, %last : i64
  llvm.cond_br %more, ^body, ^done
^body:
  %pa = llvm.getelementptr %a[%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  %pb = llvm.getelementptr %b[%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  %py = llvm.getelementptr %y[%i] : (!llvm.ptr, i64) -> !llvm.ptr, f32
  %va = llvm.load %pa : !llvm.ptr -> f32
  %vb = llvm.load %pb : !llvm.ptr -> f32
  %scaled = llvm.call @times_three(%va) : (f32) -> f32
  %sum = llvm.fadd %scaled, %vb : f32
  llvm.store %sum, %py : f32, !llvm.ptr
  %next = llvm.add %i, %step : i64
  llvm.br ^check(%next : i64)
^done:
  llvm.return
}

// Other functions are welcome; in the module they get a name of this dispatch's own.
llvm.func @times_three(%value: f32) -> f32 {
  %three = llvm.mlir.constant(3.0 : f32) : f32
  %scaled = llvm.fmul %value, %three : f32
  llvm.return %scaled : f32
}
