package picture

import (
	"image"
	"image/color"
)

// turn returns the picture upright: o is how EXIF says that it lies (1: as it should).
func turn(m image.Image, o int) image.Image {
	if o < 2 || o > 8 {
		return m
	}
	b := m.Bounds()
	w, h := b.Dx(), b.Dy()
	size := image.Rect(0, 0, w, h)
	if o >= 5 {
		size = image.Rect(0, 0, h, w)
	}
	at := func(x, y int) color.RGBA { return color.RGBAModel.Convert(m.At(x, y)).(color.RGBA) }
	if yuv, ok := m.(*image.YCbCr); ok { // nearly all: without an allocation for each pixel
		at = func(x, y int) color.RGBA {
			c := yuv.YCbCrAt(x, y)
			r, g, b := color.YCbCrToRGB(c.Y, c.Cb, c.Cr)
			return color.RGBA{r, g, b, 0xff}
		}
	}
	to := image.NewRGBA(size)
	for y := range h {
		for x := range w {
			tx, ty := place(o, x, y, w, h)
			to.SetRGBA(tx, ty, at(b.Min.X+x, b.Min.Y+y))
		}
	}
	return to
}

// place is where the pixel goes (EXIF 2.32, table 6).
func place(o, x, y, w, h int) (int, int) {
	switch o {
	case 2: // mirrored
		return w - 1 - x, y
	case 3: // upside down
		return w - 1 - x, h - 1 - y
	case 4:
		return x, h - 1 - y
	case 5: // mirrored along the diagonal
		return y, x
	case 6: // to be turned clockwise
		return h - 1 - y, x
	case 7:
		return h - 1 - y, w - 1 - x
	}
	return y, w - 1 - x // 8: counter-clockwise
}
