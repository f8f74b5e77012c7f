;; A guest that calls out: for each request it sends GET /call to the cluster that the header x-to-cluster names, and
;; logs what the host said of the call and what came back. It lets every request go on. With a configuration it also
;; calls the cluster idp once while it is configured, and at every tick.
;; Lines: "called CONTEXT STATUS TOKEN" and "answered CONTEXT TOKEN HEADERS BODY TRAILERS INSIDE HTTP-STATUS BYTES-READ";
;; INSIDE is 1 when the answer came before the call had returned.
(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_value" (func $header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes" (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_http_call"
    (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_tick_period_milliseconds" (func $tick (param i32) (result i32)))
  (memory (export "memory") 4)
  ;; The call's header fields: their number, the lengths of each name and value, then both with a null after each.
  (data (i32.const 256) "\03\00\00\00\07\00\00\00\03\00\00\00\05\00\00\00\05\00\00\00\0a\00\00\00\03\00\00\00:method\00GET\00:path\00/call\00:authority\00idp\00")
  (data (i32.const 384) "x-to-cluster")
  (data (i32.const 400) ":status")
  (data (i32.const 416) "called ")
  (data (i32.const 432) "answered ")
  (data (i32.const 448) "idp")
  (global $free (mut i32) (i32.const 65536))
  (global $line (mut i32) (i32.const 1024))
  (global $inside (mut i32) (i32.const 0))

  (func (export "proxy_abi_version_0_2_1"))
  ;; Nothing is given back: what a test asks for fits.
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (local $at i32)
    (local.set $at (global.get $free))
    (global.set $free (i32.add (global.get $free) (local.get $size)))
    (local.get $at))
  (func (export "proxy_on_context_create") (param i32 i32))

  ;; Appends bytes to the line, or a number and a space.
  (func $text (param $from i32) (param $size i32)
    (memory.copy (global.get $line) (local.get $from) (local.get $size))
    (global.set $line (i32.add (global.get $line) (local.get $size))))
  (func $number (param $number i32)
    (local $at i32)
    (local.set $at (i32.const 512))
    (i32.store8 (i32.const 512) (i32.const 32))
    (loop $digits
      (local.set $at (i32.sub (local.get $at) (i32.const 1)))
      (i32.store8 (local.get $at) (i32.add (i32.const 48) (i32.rem_u (local.get $number) (i32.const 10))))
      (local.set $number (i32.div_u (local.get $number) (i32.const 10)))
      (br_if $digits (local.get $number)))
    (call $text (local.get $at) (i32.sub (i32.const 513) (local.get $at))))
  (func $end
    (drop (call $log (i32.const 2) (i32.const 1024) (i32.sub (global.get $line) (i32.const 1024))))
    (global.set $line (i32.const 1024)))

  (func $dispatch (param $id i32) (param $cluster i32) (param $size i32)
    (local $status i32)
    (i32.store (i32.const 8) (i32.const 0))
    (global.set $inside (i32.const 1))
    (local.set $status (call $call
      (local.get $cluster) (local.get $size)
      (i32.const 256) (i32.const 67)
      (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
      (i32.const 400) (i32.const 8)))
    (global.set $inside (i32.const 0))
    (call $text (i32.const 416) (i32.const 7))
    (call $number (local.get $id))
    (call $number (local.get $status))
    (call $number (i32.load (i32.const 8)))
    (call $end))

  (func (export "proxy_on_configure") (param $id i32) (param $size i32) (result i32)
    (if (local.get $size) (then
      (drop (call $tick (i32.const 100)))
      (call $dispatch (local.get $id) (i32.const 448) (i32.const 3))))
    (i32.const 1))
  (func (export "proxy_on_tick") (param $id i32)
    (call $dispatch (local.get $id) (i32.const 448) (i32.const 3)))
  (func (export "proxy_on_request_headers") (param $id i32) (param i32 i32) (result i32)
    (if (i32.eqz (call $header (i32.const 0) (i32.const 384) (i32.const 12) (i32.const 0) (i32.const 4)))
      (then (call $dispatch (local.get $id) (i32.load (i32.const 0)) (i32.load (i32.const 4)))))
    (i32.const 0))

  (func (export "proxy_on_http_call_response")
    (param $id i32) (param $token i32) (param $headers i32) (param $body i32) (param $trailers i32)
    (call $text (i32.const 432) (i32.const 9))
    (call $number (local.get $id))
    (call $number (local.get $token))
    (call $number (local.get $headers))
    (call $number (local.get $body))
    (call $number (local.get $trailers))
    (call $number (global.get $inside))
    ;; Map 6: the header fields of the answer; buffer 4: its body.
    (if (i32.eqz (call $header (i32.const 6) (i32.const 400) (i32.const 7) (i32.const 16) (i32.const 20)))
      (then (call $text (i32.load (i32.const 16)) (i32.load (i32.const 20))))
      (else (call $text (i32.const 386) (i32.const 1))))
    (i32.store8 (global.get $line) (i32.const 32))
    (global.set $line (i32.add (global.get $line) (i32.const 1)))
    (if (i32.eqz (call $buffer (i32.const 4) (i32.const 0) (local.get $body) (i32.const 24) (i32.const 28)))
      (then (call $number (i32.load (i32.const 28))))
      (else (call $text (i32.const 386) (i32.const 1))))
    (call $end)))
