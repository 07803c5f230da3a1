package picture

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// maxScans bounds the passes over all blocks that a JPEG asks for: cameras make 1, the web's
// tools about 10. One of a few bytes each costs as much as a whole picture.
const maxScans = 64

// jpegHead is what must be known of a JPEG before it is decoded.
type jpegHead struct {
	perPixel    float64 // bytes of memory
	orientation int     // of EXIF, 1 to 8
}

var errJPEG = errors.New("not a JPEG")

// readJPEGHead walks over the segments up to the end of the picture.
func readJPEGHead(data []byte) (jpegHead, error) {
	h := jpegHead{orientation: 1}
	scans := 0
	for at := 2; ; {
		marker, body, next, err := jpegSegment(data, at)
		if err != nil {
			return h, err
		}
		switch {
		case marker == 0xd9: // end of image
			if h.perPixel == 0 {
				return h, errJPEG
			}
			return h, nil
		case marker >= 0xc0 && marker <= 0xc2: // start of frame
			if h.perPixel, err = jpegMemory(body, marker == 0xc2); err != nil {
				return h, err
			}
		case marker == 0xe1 && h.orientation == 1: // APP1: EXIF, or XMP
			h.orientation = exifOrientation(body)
		case marker == 0xda: // start of scan: entropy-coded data follows
			if scans++; scans > maxScans {
				return h, fmt.Errorf("%w: more than %d scans", ErrTooLarge, maxScans)
			}
			next = afterScan(data, next)
		}
		at = next
	}
}

// jpegSegment returns the segment at a place. A file that is cut short ends there, as decoders see it.
func jpegSegment(data []byte, at int) (marker byte, body []byte, next int, err error) {
	for at+1 < len(data) && data[at] == 0xff && data[at+1] == 0xff {
		at++ // fill bytes
	}
	if at+1 >= len(data) {
		return 0xd9, nil, len(data), nil
	}
	if data[at] != 0xff {
		return 0, nil, 0, errJPEG
	}
	marker, at = data[at+1], at+2
	if marker == 0xd9 || marker == 0x01 || marker >= 0xd0 && marker <= 0xd7 {
		return marker, nil, at, nil
	}
	if at+2 > len(data) {
		return 0, nil, 0, errJPEG
	}
	n := int(binary.BigEndian.Uint16(data[at:]))
	if n < 2 || at+n > len(data) {
		return 0, nil, 0, errJPEG
	}
	return marker, data[at+2 : at+n], at + n, nil
}

// afterScan returns where the marker after entropy-coded data is: there 0xff is followed by 0 or a restart.
func afterScan(data []byte, at int) int {
	for ; at+1 < len(data); at++ {
		if data[at] == 0xff && data[at+1] != 0 && data[at+1] != 0xff && (data[at+1] < 0xd0 || data[at+1] > 0xd7) {
			return at
		}
	}
	return len(data)
}

// jpegMemory returns the bytes that a pixel takes while it is decoded: its samples, and for a progressive
// one the coefficients of all of them, and what a picture of four colours is turned into.
func jpegMemory(body []byte, progressive bool) (float64, error) {
	if len(body) < 6 || len(body) < 6+3*int(body[5]) || body[5] == 0 || body[5] > 4 {
		return 0, errJPEG
	}
	var total, most float64
	for i := range int(body[5]) {
		hv := body[6+3*i+1]
		area := float64(hv>>4) * float64(hv&15)
		total, most = total+area, max(most, area)
	}
	if most == 0 {
		return 0, errJPEG
	}
	perPixel := total / most
	if progressive {
		perPixel *= 5
	}
	if body[5] == 4 {
		perPixel += 4
	}
	return perPixel, nil
}

// exifOrientation returns the orientation that an APP1 segment holds, 1 if it holds none.
func exifOrientation(body []byte) int {
	const head = "Exif\x00\x00"
	if len(body) < len(head)+8 || string(body[:len(head)]) != head {
		return 1
	}
	tiff := body[len(head):]
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 1
	}
	at := int64(order.Uint32(tiff[4:]))
	if at+2 > int64(len(tiff)) {
		return 1
	}
	entries := tiff[at+2:]
	for range order.Uint16(tiff[at:]) {
		if len(entries) < 12 {
			return 1
		}
		if order.Uint16(entries) == 0x0112 && order.Uint16(entries[2:]) == 3 { // SHORT
			if o := int(order.Uint16(entries[8:])); o >= 1 && o <= 8 {
				return o
			}
			return 1
		}
		entries = entries[12:]
	}
	return 1
}
