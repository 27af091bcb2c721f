package netio

import (
	"reflect"
	"testing"
)

// fill sets every number in v to its own value.
func fill(v reflect.Value, next *uint64) {
	switch v.Kind() {
	case reflect.Uint64:
		*next++
		v.SetUint(*next)
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), next)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), next)
		}
	}
}

func TestPlusAddsEveryField(t *testing.T) {
	var a, zero, want Stats
	n := uint64(0)
	fill(reflect.ValueOf(&a).Elem(), &n)
	if n < 40 {
		t.Fatalf("only %d numbers in Stats", n)
	}
	if a.Plus(zero) != a || zero.Plus(a) != a {
		t.Error("a field is lost in a sum with zero")
	}
	n = 0
	fill(reflect.ValueOf(&want).Elem(), &n)
	double := func(v reflect.Value) {}
	double = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Uint64:
			v.SetUint(2 * v.Uint())
		case reflect.Array:
			for i := range v.Len() {
				double(v.Index(i))
			}
		case reflect.Struct:
			for i := range v.NumField() {
				double(v.Field(i))
			}
		}
	}
	double(reflect.ValueOf(&want).Elem())
	if a.Plus(a) != want {
		t.Errorf("sum %+v, want %+v", a.Plus(a), want)
	}
}
