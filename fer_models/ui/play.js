// A brush on the face. The value is the cover: 112x112 bits, row by row, as hexadecimal digits.
const SIZE = 112;
const COVER = [128, 128, 128, 255];
const canvas = element.querySelector('canvas');
const pen = canvas.getContext('2d', { willReadFrequently: true });
let last = null;

function place(event) {
  const box = canvas.getBoundingClientRect();
  return [
    ((event.clientX - box.left) * SIZE) / box.width,
    ((event.clientY - box.top) * SIZE) / box.height,
  ];
}

function draw(from, to) {
  const erase = element.querySelector('[name=erase]').checked;
  pen.globalCompositeOperation = erase ? 'destination-out' : 'source-over';
  pen.lineCap = 'round';
  pen.lineWidth = element.querySelector('[name=size]').value;
  pen.strokeStyle = `rgb(${COVER.slice(0, 3)})`;
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(...to);
  pen.stroke();
}

function readCover() {
  const pixels = pen.getImageData(0, 0, SIZE, SIZE).data;
  let text = '';
  for (let i = 0; i < SIZE * SIZE; i += 4) {
    let digit = 0;
    for (let k = 0; k < 4; k++) digit = 2 * digit + (pixels[4 * (i + k) + 3] > 127);
    text += digit.toString(16);
  }
  return text;
}

function showCover() {
  const picture = pen.createImageData(SIZE, SIZE);
  for (const [i, digit] of [...(props.value || '')].entries()) {
    for (let k = 0; k < 4; k++) {
      if (parseInt(digit, 16) & (8 >> k)) picture.data.set(COVER, 4 * (4 * i + k));
    }
  }
  pen.putImageData(picture, 0, 0);
}

function showFace() {
  element.querySelector('.play-face').innerHTML = props.face || '';
}

canvas.addEventListener('pointerdown', (event) => {
  canvas.setPointerCapture(event.pointerId);
  last = place(event);
  draw(last, last);
});
canvas.addEventListener('pointermove', (event) => {
  if (!last) return;
  const now = place(event);
  draw(last, now);
  last = now;
});
for (const end of ['pointerup', 'pointercancel']) {
  canvas.addEventListener(end, () => {
    if (!last) return;
    last = null;
    props.value = readCover();
    showCover(); // without the brush's soft edge: what is covered is what is seen
    trigger('input');
  });
}
watch('value', showCover);
watch('face', showFace);
showFace();
showCover();
