// Loads a list of trainings again every few seconds, unless somebody uses it: that would lose the focus, the text and the ticks.
"use strict";

setInterval(() => {
    const used = document.querySelector(":focus, .action-select:checked");
    if (!document.hidden && !used) location.reload();
}, 5_000);
