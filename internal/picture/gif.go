package picture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
)

var errGIF = errors.New("not a GIF")

// gifFits walks over the blocks and adds up the frames, for the decoder takes as many as there are.
func (l Limits) gifFits(data []byte) error {
	if len(data) < 13 {
		return errGIF
	}
	screen := image.Config{Width: int(binary.LittleEndian.Uint16(data[6:])), Height: int(binary.LittleEndian.Uint16(data[8:]))}
	if err := l.fits(screen, 1); err != nil {
		return err
	}
	at := 13 + colours(data[10])
	var frames int
	var memory int64
	for {
		if at >= len(data) {
			return errGIF
		}
		switch data[at] {
		case 0x3b: // the end
			return nil
		case 0x21: // an extension
			at += 2
		case 0x2c: // a frame
			if at+10 > len(data) {
				return errGIF
			}
			w, h := binary.LittleEndian.Uint16(data[at+5:]), binary.LittleEndian.Uint16(data[at+7:])
			memory += int64(w) * int64(h)
			if frames++; frames > l.Frames || memory > l.Memory/4 { // coding takes long
				return fmt.Errorf("%w: %d frames of %d pixels together", ErrTooLarge, frames, memory)
			}
			at += 10 + colours(data[at+9]) + 1
		default:
			return errGIF
		}
		for at < len(data) && data[at] != 0 { // blocks of at most 255 bytes
			at += 1 + int(data[at])
		}
		at++
	}
}

// colours is the size of the table of colours that flags announce.
func colours(flags byte) int {
	if flags&0x80 == 0 {
		return 0
	}
	return 3 << (flags&7 + 1)
}
