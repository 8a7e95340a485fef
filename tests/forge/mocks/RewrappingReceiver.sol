// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {IWrappedSalt} from "../../../contracts/interfaces/IWrappedSalt.sol";

/// @notice Wraps again what it unwraps, while it is being sent it.
contract RewrappingReceiver {
    IWrappedSalt private immutable wrappedSalt;

    constructor(IWrappedSalt wrappedSalt_) payable {
        wrappedSalt = wrappedSalt_;
        wrappedSalt_.deposit{value: msg.value}();
    }

    function withdraw(uint256 amount) external {
        wrappedSalt.withdraw(amount);
    }

    receive() external payable {
        wrappedSalt.deposit{value: msg.value}();
    }
}
